#pragma once

// PyramidKV (arXiv 2406.02069): SnapKV's scores, with budgets that fall with
// the layer while their sum stays. For scopes layer and head.

#include "server/telemetry/snapkv.h"

namespace kvrecall {

// What each of the layers holds where all together hold layers · k of `prompt`
// prompt tokens' positions and the generated ones: [layers], sum layers · k.
std::vector<int64_t> PyramidSizes(int64_t layers, int64_t k, int64_t window,
                                  int64_t prompt);

class PyramidKvPolicy final : public SnapKvPolicy {
 public:
  using SnapKvPolicy::SnapKvPolicy;
  std::vector<int64_t> Sizes(const StepView& view) const override;
};

}  // namespace kvrecall
