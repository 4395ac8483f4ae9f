#include "server/telemetry/snapkv.h"

#include <algorithm>

#include "ATen/ATen.h"

namespace kvrecall {

Scores SnapKvPolicy::Score(const StepView& view) {
  const int64_t earlier = std::max<int64_t>(view.prompt_tokens - window_, 0);
  if (view.step <= 2) {
    at::Tensor sums = view.window_sums->at(window_).narrow(1, 0, earlier);
    if (view.step == 2) sums = sums + view.previous_row.narrow(1, 0, earlier);
    // Neighbours beyond the earlier positions count as −∞.
    pooled_ = earlier == 0 ? sums
                           : at::max_pool1d(sums, kernel_, /*stride=*/1,
                                            /*padding=*/kernel_ / 2);
  }
  return {pooled_, {view.positions - earlier}, pooled_};
}

}  // namespace kvrecall
