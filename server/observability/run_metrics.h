#pragma once

// What the engine thread tells beside its records, counted: times, mostly. Its
// methods belong to that thread, but for OnSampleFailed.
//
// A model's weights push everything else out of the nearest caches, so that
// each line touched is paid for at every step. Times are noted in few lines,
// and counted together: after a tenth of a second of work, after many, and
// whenever a sample ends.

#include <array>
#include <cstdint>
#include <vector>

#include "server/observability/metric_families.h"
#include "server/runner/observer.h"

namespace kvrecall {

class RunMetrics final : public RunnerObserver {
 public:
  // Makes every series. `families` outlives it.
  explicit RunMetrics(MetricFamilies* families);

  // Positions that a text may have; before the first sample.
  void SetContextWindow(int64_t positions);

  void OnPass(EnginePhase phase, absl::Duration time) override;
  void OnStep(const StepRecord& record, absl::Duration latency) override;
  void OnSampleFinished(absl::Duration latency) override;
  void OnSampleFailed(const SampleFailure& failure) override;
  void OnIdle() override;

 private:
  // Told and not yet counted.
  struct Notes {
    int passes_and_steps = 0;
    absl::Duration time;                                    // that they took
    std::array<std::vector<double>, kEnginePhases> passes;  // seconds
    std::vector<double> between_tokens;                     // seconds
    int64_t positions = 0;  // of the last step's text
  };

  void CountIfDue();
  void CountNotes();

  prometheus::Histogram& first_token_;
  prometheus::Histogram& between_tokens_;
  prometheus::Histogram& latency_;
  std::array<prometheus::Histogram*, kEnginePhases> passes_;
  prometheus::Gauge& cache_usage_;
  prometheus::Counter& nonfinite_logit_;
  prometheus::Counter& out_of_memory_;

  double context_window_ = 0;
  Notes notes_;
};

}  // namespace kvrecall
