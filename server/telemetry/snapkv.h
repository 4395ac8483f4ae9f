#pragma once

// SnapKV (arXiv 2404.14469): what the last w prompt queries attended to, pooled
// over neighbours. Kept: all generated positions, the last w of the prompt, and
// the best of the earlier ones.

#include "server/telemetry/policy.h"

namespace kvrecall {

class SnapKvPolicy : public Policy {
 public:
  // `kernel` is odd.
  SnapKvPolicy(int64_t window, int64_t kernel)
      : window_(window), kernel_(kernel) {}
  Scores Score(const StepView& view) override;

 protected:
  const int64_t window_;  // w ≥ 1

 private:
  const int64_t kernel_;
  // [R, max(P − w, 0)], float32. Changes once: step 1's row, of the last prompt
  // query, joins the window at step 2.
  at::Tensor pooled_;
};

}  // namespace kvrecall
