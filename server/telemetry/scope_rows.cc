#include "server/telemetry/scope_rows.h"

#include "ATen/ATen.h"

namespace kvrecall {

int64_t ScopeRowCount(Scope scope, int64_t layers) {
  return scope == Scope::kGlobal ? 1 : layers;
}

at::Tensor RowsToScope(const at::Tensor& group_rows, Scope scope) {
  if (scope == Scope::kLayer) return group_rows.mean(1);
  return group_rows.flatten(0, 1).mean(0, /*keepdim=*/true);
}

AttentionEntropy LayerAttentionEntropy(const at::Tensor& group_rows) {
  const at::Tensor p = RowsToScope(group_rows, Scope::kLayer).to(at::kDouble);
  const at::Tensor entropies = -at::xlogy(p, p).sum(-1);  // [layers]
  return {entropies.mean().item<double>(),
          entropies.std(/*unbiased=*/false).item<double>()};
}

}  // namespace kvrecall
