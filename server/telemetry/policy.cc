#include "server/telemetry/policy.h"

#include <limits>

#include "ATen/ATen.h"

namespace kvrecall {

at::Tensor WithOwnPositionHeld(const at::Tensor& scores) {
  const at::Tensor own =
      at::full({scores.size(0), 1}, std::numeric_limits<double>::infinity(),
               scores.options());
  return at::cat({scores, own}, 1);
}

}  // namespace kvrecall
