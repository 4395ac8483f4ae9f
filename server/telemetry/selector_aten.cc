#include "server/telemetry/selector_aten.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "ATen/ATen.h"

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

// [R, N]: places where the last w positions come first, the latest before the
// others.
at::Tensor Ranks(const at::Tensor& values, int64_t w, int64_t n) {
  const int64_t count = n - std::min(w, n);
  const at::Tensor ranks =
      RankPositions(values.narrow(1, 0, count)) + n - count;
  const at::Tensor last = at::arange(n - count - 1, -1, -1, ranks.options())
                              .expand({ranks.size(0), n - count});
  return at::cat({ranks, last}, 1);
}

int64_t LastOf(const SetJob& job, int b) {
  return job.scores.last[job.scores.last.size() > 1 ? b : 0];
}

// K of budget b: [R, 1] or [1, 1], int64.
at::Tensor SizesOf(const SetJob& job, int b) {
  return at::tensor(at::ArrayRef<int64_t>(job.ks), at::kLong)
      .view({-1, job.budgets})
      .narrow(1, b, 1)
      .to(job.weights.device());
}

at::Tensor SelectAnew(const SetJob& job) {
  const int64_t n = job.weights.size(1);
  at::Tensor masks =
      at::zeros(job.weights.sizes(), job.weights.options().dtype(at::kShort));
  at::Tensor ranks;
  for (int b = 0; b < job.budgets; ++b) {
    if (b == 0 || job.scores.last.size() > 1)
      ranks = Ranks(job.scores.values, LastOf(job, b), n);
    masks += (ranks < SizesOf(job, b)).to(at::kShort) * MaskBit(b);
  }
  return masks;
}

// [R, N], bool.
at::Tensor HasBit(const at::Tensor& masks, int b) {
  return masks.bitwise_and(MaskBit(b)).ne(0);
}

// In place: the last of the lowest-scored positions of budget b goes.
void DropLowest(const SetJob& job, int b, at::Tensor masks) {
  const int64_t count = masks.size(1) - LastOf(job, b);
  const at::Tensor held = HasBit(masks, b).narrow(1, 0, count);
  const at::Tensor scores = job.scores.values.narrow(1, 0, count);
  const at::Tensor lowest =
      scores.masked_fill(~held, INFINITY).amin(1, /*keepdim=*/true);
  const at::Tensor places = at::arange(count, masks.options().dtype(at::kLong));
  const at::Tensor last = (held & (scores == lowest))
                              .to(at::kLong)
                              .mul(places + 1)
                              .argmax(1, /*keepdim=*/true);
  const at::Tensor gone = at::zeros_like(masks).scatter_(1, last, MaskBit(b));
  masks.sub_(gone);
}

at::Tensor GoOnFromHeld(const SetJob& job) {
  const int64_t n = job.weights.size(1);
  at::Tensor masks = job.held.narrow(1, 0, n).clone();
  masks.select(1, n - 1).fill_(0);
  for (int b = 0; b < job.budgets; ++b) {
    masks.select(1, n - 1).add_(MaskBit(b));
    for (int64_t size = job.had[b] + 1; size > job.ks[b]; --size)
      DropLowest(job, b, masks);
  }
  return masks;
}

// 1 where positions count as earned: [N], bool.
at::Tensor Earned(int64_t n, at::Device device) {
  const at::Tensor places =
      at::arange(n, at::TensorOptions(at::kLong).device(device));
  return (places >= kFirstFree) & (places < n - kLastFree);
}

at::Tensor Weigh(const SetJob& job, const at::Tensor& masks,
                 const at::Tensor& fetched) {
  const int64_t n = job.weights.size(1);
  const at::Tensor wide = job.weights.to(at::kDouble);
  const at::Tensor earned = Earned(n, masks.device());
  at::Tensor figures =
      at::zeros({kSetFigures, masks.size(0), job.budgets}, wide.options());
  for (int b = 0; b < job.budgets; ++b) {
    const at::Tensor has = HasBit(masks, b);
    const auto put = [&](SetFigure figure, const at::Tensor& per_row) {
      figures[figure].select(1, b).copy_(per_row);
    };
    if (job.other.defined()) {
      const at::Tensor common = has & HasBit(job.other.narrow(1, 0, n), b);
      put(kCommon, common.sum(1));
      put(kCommonEarned, (common & earned).sum(1));
    }
    put(kEarned, (has & earned).sum(1));
    put(kMass, wide.masked_fill(~has, 0).sum(1));
    put(kHasLast, has.select(1, n - 1));
    if (fetched.defined())
      put(kFetched, HasBit(fetched, b).narrow(1, 0, n - 1).sum(1));
  }
  return figures;
}

}  // namespace

int64_t MaskBit(int budget) {
  return static_cast<int16_t>(static_cast<uint16_t>(1u << budget));
}

at::Tensor SelectWithAten(const SetJob& job) {
  return job.had.empty() ? SelectAnew(job) : GoOnFromHeld(job);
}

at::Tensor TakeHeld(const SetJob& job, const at::Tensor& masks) {
  at::Tensor fetched;
  if (!job.held.defined()) return fetched;
  at::Tensor held = job.held.narrow(1, 0, masks.size(1));
  if (job.count_fetched) fetched = masks.bitwise_and(held.bitwise_not());
  held.copy_(masks);
  return fetched;
}

std::vector<at::Tensor> FormSetsWithAten(std::span<const SetJob> jobs) {
  std::vector<at::Tensor> figures;
  for (const SetJob& job : jobs) {
    const at::Tensor masks = SelectWithAten(job);
    figures.push_back(Weigh(job, masks, TakeHeld(job, masks)));
  }
  return figures;
}

}  // namespace kvrecall
