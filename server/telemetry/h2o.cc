#include "server/telemetry/h2o.h"

#include "ATen/ATen.h"

namespace kvrecall {

Scores H2oPolicy::Score(const StepView& view) {
  if (hold_own_) return {view.accumulated, {1}};
  return {at::constant_pad_nd(view.accumulated, {0, 1}, 0), {0}};
}

}  // namespace kvrecall
