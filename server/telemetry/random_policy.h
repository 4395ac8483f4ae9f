#pragma once

// The floor: positions by a fixed random priority, a function of (seed, first
// 8 bytes of the sample key, row, position) through splitmix64. So sets are
// nested over budgets and stable over steps.

#include <cstdint>

#include "server/telemetry/policy.h"

namespace kvrecall {

class RandomPolicy final : public Policy {
 public:
  RandomPolicy(uint64_t seed, uint64_t sample_key)
      : seed_(seed), sample_key_(sample_key) {}
  Scores Score(const StepView& view) override;

  // The priority of one position: a whole number in [0, 2⁵³), exact as a
  // double.
  static double Priority(uint64_t seed, uint64_t sample_key, int64_t row,
                         int64_t position);

 private:
  const uint64_t seed_;
  const uint64_t sample_key_;
  at::Tensor priorities_;  // [R, ≥ N], float64; grows by doubling
  at::Tensor rounded_;     // the same in float32
};

}  // namespace kvrecall
