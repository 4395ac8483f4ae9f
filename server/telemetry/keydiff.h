#pragma once

// KeyDiff (arXiv 2504.15364): the keys least similar to the mean of the
// normalised keys. Keys after RoPE, cosines in float32, the mean over the heads
// and layers of the scope's row.

#include "server/telemetry/policy.h"

namespace kvrecall {

class KeyDiffPolicy final : public Policy {
 public:
  Scores Score(const StepView& view) override;
};

}  // namespace kvrecall
