#pragma once

// Several database files as one: the parts of a study that was divided among
// machines. Any thread.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/run_info.h"

namespace kvrecall {

struct MergeOptions {
  std::vector<std::string> run_ids;  // these alone; empty: all
  bool overwrite = false;            // the file, where there is one
  std::function<void(std::string_view)> on_message;  // a line; may be empty
  std::function<bool()> stop;  // asked often; may be empty
};

// What became of one study.
struct MergedRun {
  RunInfo info;
  int64_t files = 0;     // that have something of it
  int64_t repeated = 0;  // samples that were there once more, and taken once
  // Places of the study, up to its last sample, that no file has a sample for:
  // parts that were left out.
  int64_t absent = 0;
};

// Makes `file` from the databases `sources`, which are only read, also while a
// server writes them: the runs of each task as one (PlanMerge). Of each sample
// the records of the attempt that counts are taken, in the order of the study.
// The file gets its name once all of it was read back and has the digests and
// counts of what it was made from; it has no log beside it, and a server may be
// started on it.
//
// As ReadSourceFile and PlanMerge fail. NotFound: no file has one of the named
// runs. InvalidArgument: there is nothing to merge, or `file` is one of the
// sources or is in use. AlreadyExists: there is `file`, and not `overwrite`.
// ResourceExhausted: the disk is full. Cancelled: `stop` said so.
absl::StatusOr<std::vector<MergedRun>> MergeFiles(
    const std::vector<std::string>& sources, const std::string& file,
    const MergeOptions& options);

}  // namespace kvrecall
