#pragma once

// H2O as it is commonly run: the last w positions, the step's own among them,
// and the heaviest of the rest. Where K ≤ w: the last K.

#include "server/telemetry/policy.h"

namespace kvrecall {

class H2oWindowPolicy final : public Policy {
 public:
  explicit H2oWindowPolicy(int64_t window) : window_(window) {}
  Scores Score(const StepView& view) override {
    return {view.accumulated, {window_}};
  }

 private:
  const int64_t window_;  // w ≥ 1
};

}  // namespace kvrecall
