#include "server/telemetry/streaming.h"

#include <algorithm>

#include "ATen/ATen.h"

namespace kvrecall {

// The step's own position, the sinks from the first on, then the latest.
Scores StreamingPolicy::Score(const StepView& view) {
  const int64_t needed = view.positions - 1;
  const int64_t known = order_.defined() ? order_.size(1) : 0;
  if (!order_.defined() || known < needed) {
    const int64_t size = std::max<int64_t>({needed, 2 * known, 64});
    order_ = at::arange(size, view.accumulated.options().dtype(at::kFloat))
                 .view({1, size});
    const int64_t sinks = std::min(sinks_, size);
    order_.narrow(1, 0, sinks)
        .copy_(at::arange(size + sinks, size, -1, order_.options()));
  }
  const at::Tensor order =
      order_.narrow(1, 0, needed).expand({view.rows, needed});
  return {order, {1}, order};
}

}  // namespace kvrecall
