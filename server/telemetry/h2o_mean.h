#pragma once

// H2O without its bias to early positions: accumulated attention divided by
// the number of queries that could see the position.

#include "server/telemetry/policy.h"

namespace kvrecall {

class H2oMeanPolicy final : public Policy {
 public:
  Scores Score(const StepView& view) override;
};

}  // namespace kvrecall
