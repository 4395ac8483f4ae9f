#pragma once

// What the runner tells of its work, beside the records themselves: the seam
// through which metrics see it.

#include "absl/time/time.h"

#include "common/record/record.h"
#include "common/record/run_config.h"

namespace kvrecall {

// Called on the engine thread: must not block.
class RunnerObserver {
 public:
  virtual ~RunnerObserver() = default;
  virtual void OnSampleStarted(const RunConfig& config,
                               const SampleStart& start) = 0;
  // `latency` runs from the step before (for step 1: from submission).
  virtual void OnStep(const RunConfig& config, const StepRecord& record,
                      absl::Duration latency) = 0;
  virtual void OnSampleFinished(const RunConfig& config,
                                const SampleResult& result) = 0;
  virtual void OnSampleFailed(const RunConfig& config,
                              const SampleFailure& failure) = 0;
};

}  // namespace kvrecall
