#pragma once

// H2O's heavy hitters, as the reversible "shadow" that studies simulate: the
// positions with the most accumulated attention (after arXiv 2306.14048). A
// position may come back; `h2o_evict` is the irreversible original.

#include "server/telemetry/policy.h"

namespace kvrecall {

class H2oPolicy final : public Policy {
 public:
  // `hold_own`: the step's own position is always held. Without it the
  // position competes with the score that it has, 0.
  explicit H2oPolicy(bool hold_own) : hold_own_(hold_own) {}
  Scores Score(const StepView& view) override;

 private:
  const bool hold_own_;
};

}  // namespace kvrecall
