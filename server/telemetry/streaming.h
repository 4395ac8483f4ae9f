#pragma once

// StreamingLLM (arXiv 2309.17453): the first positions, which act as sinks of
// attention, and the last ones.

#include "server/telemetry/policy.h"

namespace kvrecall {

class StreamingPolicy final : public Policy {
 public:
  explicit StreamingPolicy(int64_t sinks) : sinks_(sinks) {}
  Scores Score(const StepView& view) override;

 private:
  const int64_t sinks_;
  at::Tensor order_;  // [1, ≥ N], float32, exact; grows by doubling
};

}  // namespace kvrecall
