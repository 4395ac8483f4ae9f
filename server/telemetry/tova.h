#pragma once

// TOVA (arXiv 2401.06104): what the previous query attended to least is
// dropped, for good.

#include "server/telemetry/irreversible.h"

namespace kvrecall {

class TovaPolicy final : public IrreversiblePolicy {
 public:
  using IrreversiblePolicy::IrreversiblePolicy;
  Scores Score(const StepView& view) override {
    return {view.previous_row, {1}};
  }
};

}  // namespace kvrecall
