#pragma once

// A run as JSON lines, for other programs. Field names are those of the
// records; common/METRICS.md defines them. Later versions only add fields.
// Not thread-safe.

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "common/record/run_info.h"

namespace kvrecall {

// {"type":"run",…}: identity, state, configuration and provenance.
std::string RunLine(const RunInfo& run);

// {"type":"step",…} of one sample. Budgets that are a ratio of the current
// length are numbers, others their text form; gap lanes stand in theirs.
// DATA_LOSS if the step has not one recall per lane and one gap per gap lane of
// `config`.
absl::StatusOr<std::string> StepLine(const RunConfig& config,
                                     const std::string& sample_id,
                                     const StepRecord& step);

// Writes a run line, then for each sample a sample line and its step lines,
// samples in the order in which they ended. A sample with no end yet comes
// last, its fields null. Buffers the steps of the samples in progress.
class JsonLinesWriter {
 public:
  // `last_attempts`: the attempt that counts, by sample; events of others are
  // left out. `out` outlives this.
  JsonLinesWriter(std::ostream& out, RunInfo run,
                  std::map<std::string, int64_t> last_attempts);

  // Events in the order of their sequence. RESOURCE_EXHAUSTED if the output
  // cannot be written.
  absl::Status Add(const Event& event);

  // The samples that have not ended. Call once, last.
  absl::Status Finish();

 private:
  struct Sample {
    SampleStart start;
    std::string steps;  // lines
    int64_t generated = 0;
  };
  absl::Status WriteSample(const Event& last, const Sample& sample);
  absl::Status CheckOutput() const;

  std::ostream& out_;
  const RunInfo run_;
  const std::map<std::string, int64_t> last_attempts_;
  std::map<std::string, Sample> in_progress_;
  std::vector<std::string> order_;  // of the samples in progress
};

}  // namespace kvrecall
