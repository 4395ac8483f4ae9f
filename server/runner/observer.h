#pragma once

// What the runner tells of its work, beside the records themselves, which the
// store tells of when they are committed: the seam through which metrics see
// it.

#include "absl/time/time.h"

#include "common/record/record.h"

namespace kvrecall {

// What the engine thread does at a time: one pass through the model.
enum class EnginePhase {
  kPrefill,  // a chunk of a prompt
  kDecode,   // a step, its figures and the lanes that go with it
  kGap,      // gap lanes that no step goes with
};
inline constexpr int kEnginePhases = 3;

// Called on the engine thread, but for OnSampleFailed, which a sample whose
// prompt cannot be made ready causes on another: must not block. As it is, it
// does nothing.
class RunnerObserver {
 public:
  virtual ~RunnerObserver() = default;
  // A pass took so long; on a GPU, to be handed over and for what was waited
  // for.
  virtual void OnPass(EnginePhase, absl::Duration /*time*/) {}
  // `latency` runs from the sample's step before (for step 1: from submission).
  virtual void OnStep(const StepRecord&, absl::Duration /*latency*/) {}
  // `latency` runs from submission.
  virtual void OnSampleFinished(absl::Duration /*latency*/) {}
  virtual void OnSampleFailed(const SampleFailure&) {}
  // The engine has let go of its sample, however it ended.
  virtual void OnIdle() {}
};

}  // namespace kvrecall
