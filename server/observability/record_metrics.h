#pragma once

// Records, counted where they were committed: what is counted is in the
// database. The methods belong to the writer thread, but for OnRefused. No
// series is looked up by name for a record: those of a run are resolved once,
// when the first records of one of its samples come.

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "server/observability/lane_labels.h"
#include "server/observability/metric_families.h"
#include "server/store/appended_events.h"

namespace kvrecall {

class RecordMetrics {
 public:
  // Makes every series. `families` outlives it.
  RecordMetrics(MetricFamilies* families, const LaneLabels& lanes);

  // One transaction's.
  void OnCommitted(std::span<const AppendedEvents> appended);

  // Looks for what is not finite in events that the store refused. Thread-safe.
  void OnRefused(const std::vector<Event>& events);

 private:
  template <typename Series>
  using ByBin = std::array<Series*, kEntropyBins>;

  struct TaskSeries {
    prometheus::Counter* prompt_tokens = nullptr;
    prometheus::Counter* generation_tokens = nullptr;
  };
  struct RecallSeries {
    prometheus::Histogram* recall = nullptr;
    ByBin<prometheus::Counter> sum = {}, steps = {};
    prometheus::Counter* fetched_back = nullptr;
  };
  struct GapSeries {
    prometheus::Histogram* kl = nullptr;
    prometheus::Histogram* logprob_change = nullptr;
  };
  // The series of one run.
  struct RunSeries {
    std::shared_ptr<const RunConfig> config;
    const TaskSeries* task = nullptr;
    // Lanes of scope global, by their place in a record.
    std::vector<std::pair<size_t, const RecallSeries*>> recalls;
    std::vector<const GapSeries*> gaps;  // by gap lane
  };
  // By name, of policy and budget.
  using LaneKey = std::pair<std::string, std::string>;

  void AddTasks(MetricFamilies& families);
  void AddRecalls(MetricFamilies& families, const LaneLabel& policy,
                  const LaneLabel& budget);
  void AddGaps(MetricFamilies& families, const LaneLabel& lane);
  RunSeries Resolve(std::shared_ptr<const RunConfig> config) const;
  void SwitchTo(const std::shared_ptr<const RunConfig>& config);

  void Count(const SampleStart& start);
  void Count(const SampleResult& result);
  // All of the current run.
  void CountSteps(std::span<const StepRecord* const> steps);
  void CountRecalls(std::span<const StepRecord* const> steps, size_t lane,
                    const RecallSeries& series);
  void CountGaps(std::span<const StepRecord* const> steps, size_t lane,
                 const GapSeries& series);

  // All that there will ever be.
  std::map<std::string, TaskSeries> tasks_;
  std::map<LaneKey, RecallSeries> recalls_;
  std::map<std::string, GapSeries> gaps_;

  prometheus::Histogram& queue_;
  prometheus::Histogram& prefill_;
  prometheus::Histogram& decode_;
  prometheus::Histogram& prompt_length_;
  prometheus::Histogram& generation_length_;
  prometheus::Histogram& entropy_;
  ByBin<prometheus::Counter> entropy_steps_;
  prometheus::Counter& nonfinite_entropy_;
  prometheus::Counter& nonfinite_logit_;
  prometheus::Counter& nonfinite_recall_;
  prometheus::Counter& nonfinite_gap_;

  RunSeries current_;  // of the run that steps now
};

}  // namespace kvrecall
