#pragma once

// Which samples of which files make up which runs of the merged file. Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/run_info.h"
#include "common/records_db/merge_source.h"

namespace kvrecall {

// A run of a file.
struct RunOrigin {
  size_t file = 0;  // index
  int64_t run = 0;  // runs.id there
};

struct PlannedSample {
  size_t file = 0;      // index
  SourceSample source;  // as it is there, but for the ordinal
};

// The runs of one study, joined.
struct PlannedRun {
  RunInfo info;
  std::vector<RunOrigin> origins;      // in the files' order
  std::vector<PlannedSample> samples;  // by ordinal, each once
  int64_t repeated = 0;                // samples that were there once more
};

// Runs of the same task are one study and become one run with the samples of
// all. A sample that is there more than once is taken once: one that is done
// before one that failed, this before one without records, then one that was
// computed before one that is a copy, then the first. Samples keep their
// places; those whose place another has come behind all, in the files' order.
// What has no records is cancelled in the merged run, which has ended. A run
// that is joined with no other keeps its name.
//
// InvalidArgument, in one line: two runs of a task were made differently, or a
// sample of one id has another text, or other records, in another file.
absl::StatusOr<std::vector<PlannedRun>> PlanMerge(
    const std::vector<SourceFile>& files);

}  // namespace kvrecall
