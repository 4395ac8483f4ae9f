#pragma once

// The ceiling: the gold set itself, so recall is exactly 1.

#include "server/telemetry/policy.h"

namespace kvrecall {

class OraclePolicy final : public Policy {
 public:
  Scores Score(const StepView&) override { return {}; }
  bool is_gold() const override { return true; }
};

}  // namespace kvrecall
