#include "server/telemetry/selector.h"

#include <limits>
#include <tuple>
#include <vector>

#include "ATen/ATen.h"

#include "server/telemetry/selector_cpu.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/telemetry/selection_cuda.h"
#endif

namespace kvrecall {
namespace {

// [R, N], int64: the place of each position in its row's order.
at::Tensor RankPositions(const at::Tensor& scores) {
  // A stable sort leaves equal scores in the order of their positions.
  const at::Tensor order = std::get<1>(
      at::sort(scores, /*stable=*/true, /*dim=*/-1, /*descending=*/true));
  const at::Tensor places =
      at::arange(scores.size(1), order.options()).expand_as(order);
  return at::empty_like(order).scatter_(1, order, places);
}

at::Tensor Ranks(const Scores& scores) {
  at::Tensor ranks = RankPositions(scores.values);
  if (!scores.own_first) return ranks;
  return at::cat({ranks + 1, at::zeros({ranks.size(0), 1}, ranks.options())},
                 1);
}

RowSets SelectJob(const SelectionJob& job, std::span<const int64_t> ks) {
  const at::Tensor ranks = Ranks(job.scores);
  const at::Tensor wide = job.weights.to(at::kDouble);
  RowSets sets;
  sets.levels = at::zeros(ranks.sizes(), ranks.options().dtype(at::kByte));
  std::vector<at::Tensor> mass;
  for (const int64_t k : ks) {
    const at::Tensor outside = ranks >= k;
    sets.levels += outside;
    mass.push_back(wide.masked_fill(outside, 0).sum(-1));
  }
  sets.mass = at::stack(mass, 1);
  return sets;
}

}  // namespace

std::vector<RowSets> SelectTopWithAten(std::span<const SelectionJob> jobs,
                                       std::span<const int64_t> ks) {
  std::vector<RowSets> sets;
  for (const SelectionJob& job : jobs) sets.push_back(SelectJob(job, ks));
  return sets;
}

at::Tensor CompareRowSetsWithAten(const RowSets& gold,
                                  const RowSets& predicted) {
  const at::Tensor level = at::maximum(gold.levels, predicted.levels);
  const at::Tensor last = gold.levels.select(1, gold.levels.size(1) - 1);
  std::vector<at::Tensor> common, has_last;
  for (int64_t b = 0; b < gold.mass.size(1); ++b) {
    common.push_back((level <= b).sum(-1).to(at::kDouble));
    has_last.push_back((last <= b).to(at::kDouble));
  }
  return at::stack({at::stack(common, 1), predicted.mass, gold.mass,
                    at::stack(has_last, 1)})
      .to(at::kCPU);
}

#ifdef KVRECALL_WITH_CUDA
namespace {

RowSets SelectJobOnCuda(const SelectionJob& job, std::span<const int64_t> ks) {
  RowSets sets;
  sets.scores = job.scores.values;
  if (job.scores.own_first)
    sets.scores = at::constant_pad_nd(sets.scores, {0, 1},
                                      std::numeric_limits<double>::infinity());
  sets.scores = sets.scores.contiguous();
  sets.weights = job.weights.contiguous();
  const Thresholds thresholds = SelectTopCuda(sets.scores, ks);
  sets.values = thresholds.values;
  sets.positions = thresholds.positions;
  return sets;
}

}  // namespace
#endif

std::vector<RowSets> SelectTop(std::span<const SelectionJob> jobs,
                               std::span<const int64_t> ks) {
  if (jobs.empty()) return {};
  const at::Device device = jobs[0].weights.device();
  if (device.is_cpu()) return SelectTopOnCpu(jobs, ks);
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) {
    std::vector<RowSets> sets;
    for (const SelectionJob& job : jobs)
      sets.push_back(SelectJobOnCuda(job, ks));
    return sets;
  }
#endif
  return SelectTopWithAten(jobs, ks);
}

at::Tensor CompareRowSets(const RowSets& gold, const RowSets& predicted) {
#ifdef KVRECALL_WITH_CUDA
  if (gold.values.defined())
    return CompareSetsCuda(gold.weights, {gold.values, gold.positions},
                           predicted.scores,
                           {predicted.values, predicted.positions})
        .to(at::kCPU);
#endif
  if (gold.levels.device().is_cpu())
    return CompareRowSetsOnCpu(gold, predicted);
  return CompareRowSetsWithAten(gold, predicted);
}

}  // namespace kvrecall
