#pragma once

// The keys of smallest norm (arXiv 2406.11430): they tend to draw most
// attention. Keys after RoPE, norms in float32, the mean over the heads and
// layers of the scope's row.

#include "server/telemetry/policy.h"

namespace kvrecall {

class KnormPolicy final : public Policy {
 public:
  Scores Score(const StepView& view) override;

 private:
  at::Tensor scores_;  // [R, ≥ N − 1], float32; grows by doubling
  int64_t known_ = 0;  // positions in it
};

}  // namespace kvrecall
