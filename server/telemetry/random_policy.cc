#include "server/telemetry/random_policy.h"

#include <algorithm>

#include "ATen/ATen.h"

#include "server/huge_pages.h"
#include "server/telemetry/splitmix64.h"

namespace kvrecall {
double RandomPolicy::Priority(uint64_t seed, uint64_t sample_key, int64_t row,
                              int64_t position) {
  uint64_t state = SplitMix64(seed);
  state = SplitMix64(state ^ sample_key);
  state = SplitMix64(state ^ static_cast<uint64_t>(row));
  state = SplitMix64(state ^ static_cast<uint64_t>(position));
  return static_cast<double>(state >> 11);
}

Scores RandomPolicy::Score(const StepView& view) {
  const int64_t known = priorities_.defined() ? priorities_.size(1) : 0;
  const int64_t needed = view.positions - 1;
  if (!priorities_.defined() || known < needed) {
    // With room for the next steps: making them takes longer than a step.
    const int64_t size = std::max(needed + needed / 8 + 64, 2 * known);
    priorities_ = ZerosOnHugePages({view.rows, size}, at::kDouble);
    double* out = priorities_.data_ptr<double>();
    for (int64_t r = 0; r < view.rows; ++r)
      for (int64_t j = 0; j < size; ++j)
        *out++ = Priority(seed_, sample_key_, r, j);
    priorities_ = priorities_.to(view.accumulated.device());
    rounded_ = priorities_.to(at::kFloat);
  }
  return {priorities_.narrow(1, 0, needed), {1}, rounded_.narrow(1, 0, needed)};
}

}  // namespace kvrecall
