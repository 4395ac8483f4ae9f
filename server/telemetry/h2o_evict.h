#pragma once

// H2O as its paper has it (arXiv 2306.14048): half of the budget for heavy
// hitters, half for recent positions, and what is dropped is gone. Scores are
// the oracle's accumulated attention, which positions go on gathering after
// they were lost.

#include "server/telemetry/irreversible.h"

namespace kvrecall {

class H2oEvictPolicy final : public IrreversiblePolicy {
 public:
  using IrreversiblePolicy::IrreversiblePolicy;
  Scores Score(const StepView& view) override;
};

}  // namespace kvrecall
