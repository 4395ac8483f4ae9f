#include "server/telemetry/gap.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "common/base/status_macros.h"
#include "server/cpu/row_kernels.h"

namespace kvrecall {
namespace {

// What KL(p ‖ p') = Σ p (z − z') − ln Z + ln Z' is made of, in float64: a lane
// that sees all but nothing is told from one that sees everything only by what
// float32 rounds away. Parts of the vocabulary are of a fixed size, so that
// sums do not depend on the number of threads.
std::vector<double> DivergencesOnCpu(
    const at::Tensor& logits, int64_t best, const at::Tensor& lanes,
    std::span<const TokenDistribution> limited) {
  constexpr int64_t kPart = 8192;
  const int64_t vocabulary = logits.size(0), count = lanes.size(0);
  const int64_t parts = (vocabulary + kPart - 1) / kPart;
  const float* z = logits.data_ptr<float>();
  const float* z_lanes = lanes.data_ptr<float>();
  std::vector<float> largest;
  for (int64_t i = 0; i < count; ++i)
    largest.push_back(
        z_lanes[i * vocabulary + limited[static_cast<size_t>(i)].best]);
  std::vector<double> sums(static_cast<size_t>(parts));
  std::vector<double> lane_sums(static_cast<size_t>(parts * count));
  std::vector<double> differences(static_cast<size_t>(parts * count));
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      cpu::DivergenceTerms terms;
      terms.logits = z + part * kPart;
      terms.largest = z[best];
      terms.lanes = z_lanes + part * kPart;
      terms.lane_stride = vocabulary;
      terms.lane_largest = largest.data();
      terms.lanes_count = count;
      terms.n = std::min(kPart, vocabulary - part * kPart);
      terms.lane_sums = lane_sums.data() + part * count;
      terms.differences = differences.data() + part * count;
      cpu::BestRowKernels().sum_divergences(terms);
      sums[static_cast<size_t>(part)] = terms.sum;
    }
  });
  const double sum = std::accumulate(sums.begin(), sums.end(), 0.0);
  std::vector<double> divergences;
  for (int64_t i = 0; i < count; ++i) {
    double lane_sum = 0, difference = 0;
    for (int64_t part = 0; part < parts; ++part) {
      lane_sum += lane_sums[static_cast<size_t>(part * count + i)];
      difference += differences[static_cast<size_t>(part * count + i)];
    }
    divergences.push_back(difference / sum + std::log(lane_sum / sum) +
                          (static_cast<double>(largest[i]) - z[best]));
  }
  return divergences;
}

// What the host wants to know of a lane and of the oracle beside it.
struct LaneFigures {
  std::vector<double> divergences;  // of each lane
  std::vector<float> token_logits;  // of the oracle, then of each lane
};

// The same on any device, in one transfer.
LaneFigures FiguresWithAten(const at::Tensor& logits, const at::Tensor& lanes,
                            int64_t token) {
  const at::Tensor z = logits.to(at::kDouble);
  const at::Tensor log_normalizer = z.logsumexp(0);
  const at::Tensor p = (z - log_normalizer).exp_();
  std::vector<at::Tensor> divergences;
  for (int64_t i = 0; i < lanes.size(0); ++i) {
    const at::Tensor lane = lanes[i].to(at::kDouble);
    divergences.push_back((z - lane).mul_(p).sum() - log_normalizer +
                          lane.logsumexp(0));
  }
  const at::Tensor on_host =
      at::cat({at::stack(divergences), z.narrow(0, token, 1),
               lanes.select(1, token).to(at::kDouble)})
          .to(at::kCPU);
  const double* values = on_host.data_ptr<double>();
  const int64_t count = lanes.size(0);
  return {{values, values + count}, {values + count, values + on_host.numel()}};
}

LaneFigures FiguresOnCpu(const at::Tensor& logits, int64_t best,
                         const at::Tensor& lanes,
                         std::span<const TokenDistribution> limited,
                         int64_t token) {
  LaneFigures figures;
  figures.divergences = DivergencesOnCpu(logits, best, lanes, limited);
  figures.token_logits.push_back(logits[token].item<float>());
  for (int64_t i = 0; i < lanes.size(0); ++i)
    figures.token_logits.push_back(lanes[i][token].item<float>());
  return figures;
}

}  // namespace

absl::StatusOr<std::vector<GapRecord>> CompareGaps(
    const at::Tensor& logits, const TokenDistribution& distribution,
    const at::Tensor& lanes, int64_t token) {
  ASSIGN_OR_RETURN(const std::vector<TokenDistribution> limited,
                   DescribeLogitRows(lanes));
  const LaneFigures figures =
      logits.device().is_cpu()
          ? FiguresOnCpu(logits.contiguous(), distribution.best,
                         lanes.contiguous(), limited, token)
          : FiguresWithAten(logits, lanes, token);
  const double own_logprob =
      figures.token_logits[0] - distribution.log_normalizer;
  std::vector<GapRecord> records;
  for (size_t i = 0; i < limited.size(); ++i) {
    GapRecord record;
    record.kl = std::max(0.0, figures.divergences[i]);
    record.entropy_change = limited[i].entropy - distribution.entropy;
    record.logprob_change =
        figures.token_logits[i + 1] - limited[i].log_normalizer - own_logprob;
    record.token_id = limited[i].best;
    record.top1_agrees = limited[i].best == distribution.best;
    records.push_back(record);
  }
  return records;
}

}  // namespace kvrecall
