#pragma once

// What the engine thread tells, counted. Its methods belong to that thread, but
// for OnSampleFailed. No series is looked up by name there: those of a run are
// resolved once, when its first sample starts.
//
// A step touches some forty series, which the model's weights have pushed out
// of the nearest caches: counted one by one they cost a hundredth of the
// shortest steps. So steps and passes are noted, and counted together: after a
// tenth of a second of work, after many, and whenever a sample ends.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/observability/lane_labels.h"
#include "server/observability/metric_families.h"
#include "server/runner/observer.h"

namespace kvrecall {

class RunMetrics final : public RunnerObserver {
 public:
  // Makes every series. `families` outlives it.
  RunMetrics(MetricFamilies* families, const LaneLabels& lanes);

  // Positions that a text may have; before the first sample.
  void SetContextWindow(int64_t positions);

  void OnPass(EnginePhase phase, absl::Duration time) override;
  void OnSampleStarted(const RunConfig& config,
                       const SampleStart& start) override;
  void OnStep(const StepRecord& record, absl::Duration latency) override;
  void OnSampleFinished(const SampleResult& result,
                        absl::Duration latency) override;
  void OnSampleFailed(const SampleFailure& failure) override;
  void OnIdle() override;

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
  // A lane of scope global.
  struct LaneSeries {
    size_t lane = 0;
    const RecallSeries* series = nullptr;
    double fetched_back = 0;  // not yet counted
  };
  // The series of one run.
  struct RunSeries {
    RunConfig config;
    const TaskSeries* task = nullptr;
    std::vector<LaneSeries> recalls;
    std::vector<const GapSeries*> gaps;  // by gap lane
  };
  // Told and not yet counted. Values that are not finite stand for none.
  struct Notes {
    int passes_and_steps = 0;
    absl::Duration time;                                    // that they took
    std::array<std::vector<double>, kEnginePhases> passes;  // seconds
    std::vector<double> between_tokens;                     // seconds
    std::vector<double> entropies;                          // by step
    std::vector<double> recalls;      // by step and place in RunSeries::recalls
    std::vector<double> gap_kls;      // by step and gap lane
    std::vector<double> gap_changes;  // by step and gap lane
    int64_t positions = 0;            // of the last step's text

    void Clear();  // keeps the room
  };
  // By name, of policy and budget.
  using LaneKey = std::pair<std::string, std::string>;

  void AddTasks(MetricFamilies& families);
  void AddRecalls(MetricFamilies& families, const LaneLabel& policy,
                  const LaneLabel& budget);
  void AddGaps(MetricFamilies& families, const LaneLabel& lane);
  RunSeries Resolve(const RunConfig& config) const;
  void NoteRecalls(const StepRecord& record);
  void NoteGaps(const StepRecord& record);
  void CountIfDue();
  void CountNotes();
  void CountLane(size_t place);

  // All that there will ever be.
  std::map<std::string, TaskSeries> tasks_;
  std::map<LaneKey, RecallSeries> recalls_;
  std::map<std::string, GapSeries> gaps_;

  prometheus::Histogram& first_token_;
  prometheus::Histogram& between_tokens_;
  prometheus::Histogram& latency_;
  prometheus::Histogram& queue_;
  prometheus::Histogram& prefill_;
  prometheus::Histogram& decode_;
  prometheus::Histogram& prompt_length_;
  prometheus::Histogram& generation_length_;
  std::array<prometheus::Histogram*, kEnginePhases> passes_;
  prometheus::Gauge& cache_usage_;
  prometheus::Histogram& entropy_;
  ByBin<prometheus::Counter> entropy_steps_;
  prometheus::Counter& nonfinite_logit_;
  prometheus::Counter& nonfinite_entropy_;
  prometheus::Counter& nonfinite_recall_;
  prometheus::Counter& nonfinite_gap_;
  prometheus::Counter& out_of_memory_;

  double context_window_ = 0;
  RunSeries current_;  // of the run that steps now
  Notes notes_;
};

}  // namespace kvrecall
