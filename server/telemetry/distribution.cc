#include "server/telemetry/distribution.h"

#include <algorithm>
#include <cmath>

#include "ATen/ATen.h"

namespace kvrecall {

absl::StatusOr<TokenDistribution> DescribeLogits(const at::Tensor& logits) {
  // Wider than the logits, so that the figures hold to their last digit
  // whatever the vocabulary's size.
  const at::Tensor z = logits.to(at::kDouble);
  if (!z.isfinite().all().item<bool>())
    return absl::DataLossError(
        "the model gave a logit that is not a finite number");
  const at::Tensor log_normalizer = at::logsumexp(z, 0);
  const at::Tensor log_p = z - log_normalizer;
  const at::Tensor p = log_p.exp();
  const at::Tensor top =
      std::get<0>(p.topk(std::min<int64_t>(2, p.size(0)))).to(at::kCPU);
  TokenDistribution distribution;
  // p = 0 only by underflow, where p·ln p is 0 too and no NaN can arise: ln p
  // is finite.
  const double entropy = -(p * log_p).sum().item<double>();
  distribution.entropy =
      std::clamp(entropy, 0.0, std::log(static_cast<double>(p.size(0))));
  distribution.p_max = top[0].item<double>();
  distribution.margin = top.size(0) > 1
                            ? distribution.p_max - top[1].item<double>()
                            : distribution.p_max;
  distribution.log_normalizer = log_normalizer.item<double>();
  return distribution;
}

}  // namespace kvrecall
