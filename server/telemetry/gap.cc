#include "server/telemetry/gap.h"

#include <algorithm>

#include "ATen/ATen.h"

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// KL(p ‖ p') in nats of each lane, [lanes], float64, on the host: Σ p (z − z')
// − ln Z + ln Z'. In float64, since a lane that sees all but nothing is told
// from one that sees everything only by what float32 rounds away. No call of
// BLAS: its threads would go on spinning beside the next step's.
at::Tensor Divergences(const at::Tensor& logits, const at::Tensor& lanes) {
  const at::Tensor z = logits.to(at::kDouble);
  const at::Tensor log_normalizer = z.logsumexp(0);
  const at::Tensor p = (z - log_normalizer).exp_();
  std::vector<at::Tensor> divergences;
  for (int64_t i = 0; i < lanes.size(0); ++i) {
    const at::Tensor lane = lanes[i].to(at::kDouble);
    divergences.push_back((z - lane).mul_(p).sum() - log_normalizer +
                          lane.logsumexp(0));
  }
  return at::stack(divergences).to(at::kCPU);
}

}  // namespace

absl::StatusOr<std::vector<GapRecord>> CompareGaps(
    const at::Tensor& logits, const TokenDistribution& distribution,
    const at::Tensor& lanes, int64_t token) {
  const at::Tensor divergences = Divergences(logits, lanes);
  const double own_logprob =
      logits[token].item<float>() - distribution.log_normalizer;
  std::vector<GapRecord> records;
  for (int64_t i = 0; i < lanes.size(0); ++i) {
    ASSIGN_OR_RETURN(const TokenDistribution limited, DescribeLogits(lanes[i]));
    GapRecord record;
    record.kl = std::max(0.0, divergences[i].item<double>());
    record.entropy_change = limited.entropy - distribution.entropy;
    record.logprob_change =
        lanes[i][token].item<float>() - limited.log_normalizer - own_logprob;
    record.token_id = limited.best;
    record.top1_agrees = limited.best == distribution.best;
    records.push_back(record);
  }
  return records;
}

}  // namespace kvrecall
