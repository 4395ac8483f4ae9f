#include "server/telemetry/selector.h"

#include <tuple>
#include <vector>

#include "ATen/ATen.h"

#include "server/telemetry/selector_cpu.h"

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

std::vector<RowSets> SelectTop(std::span<const SelectionJob> jobs,
                               std::span<const int64_t> ks) {
  if (jobs.empty()) return {};
  if (jobs[0].weights.device().is_cpu()) return SelectTopOnCpu(jobs, ks);
  return SelectTopWithAten(jobs, ks);
}

at::Tensor CountCommon(const RowSets& a, const RowSets& b) {
  if (a.levels.device().is_cpu()) return CountCommonOnCpu(a, b);
  const at::Tensor level = at::maximum(a.levels, b.levels);
  std::vector<at::Tensor> counts;
  for (int64_t k = 0; k < a.mass.size(1); ++k)
    counts.push_back((level <= k).sum(-1));
  return at::stack(counts, 1).to(at::kDouble);
}

}  // namespace kvrecall
