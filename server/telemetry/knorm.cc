#include "server/telemetry/knorm.h"

#include <algorithm>

#include "ATen/ATen.h"

#include "server/telemetry/scope_rows.h"

namespace kvrecall {

Scores KnormPolicy::Score(const StepView& view) {
  const int64_t needed = view.positions - 1;
  if (!scores_.defined() || scores_.size(1) < needed) {
    const at::Tensor grown =
        at::empty({view.rows, std::max<int64_t>(2 * needed, 64)},
                  view.key_norms.options());
    if (known_ > 0)
      grown.narrow(1, 0, known_).copy_(scores_.narrow(1, 0, known_));
    scores_ = grown;
  }
  const int64_t added = needed - known_;
  if (added > 0)
    scores_.narrow(1, known_, added)
        .copy_(
            -RowsToScope(view.key_norms.narrow(2, known_, added), view.scope));
  known_ = needed;
  const at::Tensor scores = scores_.narrow(1, 0, needed);
  return {scores, {1}, scores};
}

}  // namespace kvrecall
