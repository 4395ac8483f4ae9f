#include "server/telemetry/selector.h"

#include <tuple>

#include "ATen/ATen.h"

namespace kvrecall {

at::Tensor RankPositions(const at::Tensor& scores) {
  // A stable sort leaves equal scores in the order of their positions.
  const at::Tensor order = std::get<1>(
      at::sort(scores, /*stable=*/true, /*dim=*/-1, /*descending=*/true));
  const at::Tensor places =
      at::arange(scores.size(1), order.options()).expand_as(order);
  return at::empty_like(order).scatter_(1, order, places);
}

}  // namespace kvrecall
