#include "server/telemetry/keydiff.h"

#include "ATen/ATen.h"

#include "server/telemetry/scope_rows.h"

namespace kvrecall {

Scores KeyDiffPolicy::Score(const StepView& view) {
  const at::Tensor scores = -RowsToScope(view.key_similarities, view.scope);
  return {scores, {1}, scores};
}

}  // namespace kvrecall
