#pragma once

// A policy's sets on small histories, by hand.

#include <cstdint>
#include <vector>

#include "server/telemetry/policy.h"

namespace kvrecall {

using Positions = std::vector<int64_t>;

// A step of one row, whose earlier positions have these accumulated scores.
StepView View(const std::vector<double>& accumulated);

// A step of one row after a query with this row; S_t is 0.
StepView ViewAfter(const std::vector<float>& previous_row);

// What the policy holds of k positions, chosen from all.
Positions Held(Policy& policy, const StepView& view, int64_t k);

// The sets of an irreversible policy from step to step, one budget.
class HeldSteps {
 public:
  explicit HeldSteps(Policy& policy) : policy_(policy) {}
  // The next step; `view` is one position longer than the one before.
  Positions Step(StepView view, int64_t k);

 private:
  Policy& policy_;
  Positions held_;
  int64_t step_ = 0;
};

}  // namespace kvrecall
