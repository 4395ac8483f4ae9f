#include "server/telemetry/h2o.h"

#include "ATen/ATen.h"

namespace kvrecall {

at::Tensor H2oPolicy::Scores(const StepView& view) {
  if (hold_own_) return WithOwnPositionHeld(view.accumulated);
  return at::constant_pad_nd(view.accumulated, {0, 1}, 0);
}

}  // namespace kvrecall
