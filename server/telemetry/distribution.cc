#include "server/telemetry/distribution.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/row_kernels.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/telemetry/logit_sums_cuda.h"
#endif

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
  distribution.best_logit = sums.largest;
  distribution.entropy = std::clamp(distribution.entropy, 0.0,
                                    std::log(static_cast<double>(vocabulary)));
  return distribution;
}

// Of each row of the logits [R, V]: each by a thread, since a vocabulary is one
// thread's work.
std::vector<cpu::LogitSums> SumOnCpu(const at::Tensor& logits) {
  const at::Tensor packed = logits.contiguous();
  const int64_t vocabulary = packed.size(1);
  std::vector<cpu::LogitSums> sums(static_cast<size_t>(packed.size(0)));
  at::parallel_for(0, packed.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      sums[static_cast<size_t>(i)] = cpu::BestRowKernels().sum_logits(
          packed.data_ptr<float>() + i * vocabulary, vocabulary);
  });
  return sums;
}

// [R, 6], float64, on the device: sums, weighted sums, the two largest, whether
// all are finite, the best id. Wider than the logits.
at::Tensor SumsWithAten(const at::Tensor& logits) {
  const at::Tensor z = logits.to(at::kDouble);
  const at::Tensor top =
      std::get<0>(z.topk(std::min<int64_t>(2, z.size(1)), /*dim=*/1));
  const at::Tensor largest = top.narrow(1, 0, 1);
  const at::Tensor offsets = z - largest;
  const at::Tensor e = offsets.exp();
  // at::argmax leaves open which of several equal maxima it returns.
  const at::Tensor ids = at::arange(z.size(1), z.options()).expand_as(z);
  const at::Tensor best = ids.masked_fill(z < largest, INFINITY).amin(1);
  return at::stack({e.sum(1), (e * offsets).sum(1), largest.squeeze(1),
                    top.select(1, top.size(1) - 1),
                    z.isfinite().all(1).to(at::kDouble), best},
                   1);
}

at::Tensor SumsOf(const at::Tensor& logits) {
#ifdef KVRECALL_WITH_CUDA
  if (logits.device().is_cuda()) return LogitSumsCuda(logits);
#endif
  // Bounds what a vocabulary of float64 takes several times.
  constexpr int64_t kRowsAtOnce = 4;
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i < logits.size(0); i += kRowsAtOnce)
    parts.push_back(SumsWithAten(
        logits.narrow(0, i, std::min(kRowsAtOnce, logits.size(0) - i))));
  return at::cat(parts);
}

// The same sums on any device, in one transfer.
std::vector<cpu::LogitSums> SumOnDevice(const at::Tensor& logits) {
  const at::Tensor figures = SumsOf(logits).to(at::kCPU);
  std::vector<cpu::LogitSums> all;
  for (int64_t i = 0; i < figures.size(0); ++i) {
    const double* f = figures.data_ptr<double>() + i * figures.size(1);
    cpu::LogitSums& sums = all.emplace_back();
    sums.sum = f[0];
    sums.weighted = f[1];
    sums.largest = static_cast<float>(f[2]);
    sums.second = static_cast<float>(f[3]);
    sums.finite = f[4] != 0;
    if (sums.finite) sums.best = static_cast<int64_t>(f[5]);
  }
  return all;
}

}  // namespace

absl::StatusOr<TokenDistribution> DescribeLogits(const at::Tensor& logits) {
  absl::StatusOr<std::vector<TokenDistribution>> rows =
      DescribeLogitRows(logits.unsqueeze(0));
  if (!rows.ok()) return rows.status();
  return rows->front();
}

absl::StatusOr<std::vector<TokenDistribution>> DescribeLogitRows(
    const at::Tensor& logits) {
  std::vector<TokenDistribution> rows;
  for (const cpu::LogitSums& sums :
       logits.device().is_cpu() ? SumOnCpu(logits) : SumOnDevice(logits)) {
    if (!sums.finite) return NotFinite();
    rows.push_back(FromSums(sums, logits.size(1)));
  }
  return rows;
}

double LogProbability(const at::Tensor& logits,
                      const TokenDistribution& distribution, int64_t token) {
  const float logit = token == distribution.best ? distribution.best_logit
                                                 : logits[token].item<float>();
  return logit - distribution.log_normalizer;
}

}  // namespace kvrecall
