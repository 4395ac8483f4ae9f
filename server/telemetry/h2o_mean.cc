#include "server/telemetry/h2o_mean.h"

#include "ATen/ATen.h"

namespace kvrecall {

Scores H2oMeanPolicy::Score(const StepView& view) {
  // Position j was seen by the queries j … q_t − 1.
  const at::Tensor queries =
      at::arange(view.positions - 1, 0, -1, view.accumulated.options());
  return {view.accumulated / queries, {1}};
}

}  // namespace kvrecall
