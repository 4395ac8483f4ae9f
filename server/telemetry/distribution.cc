#include "server/telemetry/distribution.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "ATen/ATen.h"

#include "server/cpu/row_kernels.h"

namespace kvrecall {
namespace {

absl::Status NotFinite() {
  return absl::DataLossError(
      "the model gave a logit that is not a finite number");
}

TokenDistribution FromSums(const cpu::LogitSums& sums, int64_t vocabulary) {
  const double log_sum = std::log(sums.sum);
  TokenDistribution distribution;
  distribution.entropy = log_sum - sums.weighted / sums.sum;
  distribution.p_max = 1 / sums.sum;
  distribution.margin =
      vocabulary > 1
          ? (1 - std::exp(static_cast<double>(sums.second) - sums.largest)) /
                sums.sum
          : distribution.p_max;
  distribution.log_normalizer = sums.largest + log_sum;
  distribution.best = sums.best;
  return distribution;
}

// The same sums on any device, wider than the logits.
cpu::LogitSums SumWithAten(const at::Tensor& logits) {
  const at::Tensor z = logits.to(at::kDouble);
  const at::Tensor top = std::get<0>(z.topk(std::min<int64_t>(2, z.size(0))));
  const at::Tensor offsets = z - top[0];
  const at::Tensor e = offsets.exp();
  // at::argmax leaves open which of several equal maxima it returns.
  const at::Tensor ids = at::arange(z.size(0), z.options());
  const at::Tensor best = ids.masked_fill(z < top[0], INFINITY).min();
  // One transfer.
  const at::Tensor figures =
      at::stack({e.sum(), (e * offsets).sum(), top[0], top[top.size(0) - 1],
                 z.isfinite().all().to(at::kDouble), best})
          .to(at::kCPU);
  const double* f = figures.data_ptr<double>();
  cpu::LogitSums sums;
  sums.sum = f[0];
  sums.weighted = f[1];
  sums.largest = static_cast<float>(f[2]);
  sums.second = static_cast<float>(f[3]);
  sums.finite = f[4] != 0;
  if (sums.finite) sums.best = static_cast<int64_t>(f[5]);
  return sums;
}

}  // namespace

absl::StatusOr<TokenDistribution> DescribeLogits(const at::Tensor& logits) {
  const int64_t vocabulary = logits.size(0);
  const cpu::LogitSums sums =
      logits.device().is_cpu()
          ? cpu::BestRowKernels().sum_logits(
                logits.contiguous().data_ptr<float>(), vocabulary)
          : SumWithAten(logits);
  if (!sums.finite) return NotFinite();
  TokenDistribution distribution = FromSums(sums, vocabulary);
  distribution.entropy = std::clamp(distribution.entropy, 0.0,
                                    std::log(static_cast<double>(vocabulary)));
  return distribution;
}

}  // namespace kvrecall
