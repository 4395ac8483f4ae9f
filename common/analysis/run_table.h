#pragma once

// The steps of a run as columns, grouped by sample: what every analysis starts
// from. Made from events, wherever they come from. RunTable is a plain value;
// RunTableBuilder is not thread-safe.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "common/record/run_config.h"

namespace kvrecall {

struct TableSample {
  std::string id;
  bool done = false;            // its last step is there
  std::optional<double> score;  // [0, 1]
};

// One policy × scope × budget. NaN where a quantity is not defined.
struct LaneColumns {
  std::vector<double> recall;        // [steps], [0, 1]
  std::vector<double> chance;        // [steps], [0, 1]
  std::vector<double> drift;         // [steps], [0, 1]; NaN at t = 1
  std::vector<double> fetched_back;  // [steps], positions
  // Mean over samples, [longest answer, layers]; empty in scope global.
  std::vector<std::vector<double>> layer_recall;
};

struct GapColumns {
  std::vector<double> kl, entropy_change, logprob_change;  // [steps], nats
};

// Steps of each sample's last attempt. A step is one index in all columns.
struct RunTable {
  RunConfig config;
  std::vector<Lane> lanes;           // of Lanes(config)
  std::vector<TableSample> samples;  // with at least one step; by id
  std::vector<int64_t> first;  // [samples + 1]: where each begins, and the end
  std::vector<double> step;    // t, from 1
  std::vector<double> positions;          // N
  std::vector<double> entropy;            // nats
  std::vector<double> p_max, margin;      // [0, 1]
  std::vector<double> attention_entropy;  // nats
  std::vector<std::string> token;         // text
  std::vector<LaneColumns> columns;       // in the order of lanes
  std::vector<GapColumns> gaps;           // in the order of config.gaps

  int64_t steps() const { return static_cast<int64_t>(entropy.size()); }
  // Index into `samples`.
  size_t SampleOf(int64_t step) const;
};

// Takes events in the order of their sequence; of a sample only the last
// attempt counts.
class RunTableBuilder {
 public:
  explicit RunTableBuilder(RunConfig config);

  // DATA_LOSS if a step has not one recall per lane and one gap per gap lane.
  absl::Status Add(const Event& event);

  // INVALID_ARGUMENT, naming sample and step, if a number is not finite.
  absl::StatusOr<RunTable> Build() const;

 private:
  struct Attempt {
    int64_t attempt = 0;
    std::vector<StepRecord> steps;
    std::optional<SampleResult> result;
  };

  const RunConfig config_;
  const std::vector<Lane> lanes_;
  std::map<std::string, Attempt> samples_;
};

}  // namespace kvrecall
