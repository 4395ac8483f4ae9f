#pragma once

// What a database file has to give to a merge: its runs and, of each sample,
// what it is and what its records say. Any thread.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/run_info.h"
#include "common/records_db/reader.h"

namespace kvrecall {

// A sample of a run, its texts and numbers as digests.
struct SourceSample {
  int64_t key = 0;  // samples.id
  std::string sample_id;
  int64_t ordinal = 0;
  SampleState state = SampleState::kQueued;
  int64_t attempt = 0;  // whose records count
  bool is_reused = false;
  std::optional<int64_t> ended_us;
  std::string input_digest;  // of its input
  // Of its records, and how many they are; only where it is done or has failed.
  std::string records_digest;
  int64_t events = 0;

  bool has_records() const {
    return state == SampleState::kDone || state == SampleState::kFailed;
  }
};

struct SourceRun {
  int64_t key = 0;  // runs.id
  RunInfo info;
  std::vector<SourceSample> samples;  // by ordinal
};

struct SourceFile {
  std::string path;
  std::vector<SourceRun> runs;  // oldest first
};

// Reads the file's runs of one committed state, all or those named. A server
// may write it meanwhile. `stop` (may be empty) is asked often.
// NotFound: no such file. FailedPrecondition: of another version of the schema.
// DataLoss: what is there is not what the counts say. Cancelled: `stop` said
// so.
absl::StatusOr<SourceFile> ReadSourceFile(
    const std::string& path, const std::vector<std::string>& run_ids,
    const std::function<bool()>& stop);

}  // namespace kvrecall
