#include "server/telemetry/scope_rows.h"

#include <algorithm>

#include "ATen/ATen.h"

#include "server/cpu/row_kernels.h"
#include "server/telemetry/row_workers.h"

namespace kvrecall {

int64_t ScopeRowCount(Scope scope, int64_t layers, int64_t kv_heads) {
  switch (scope) {
    case Scope::kGlobal:
      return 1;
    case Scope::kLayer:
      return layers;
    case Scope::kHead:
      return layers * kv_heads;
  }
  return 0;
}

namespace {

// Columns of the mean over all rows that one thread takes at a time.
constexpr int64_t kSpan = 1024;

// Layers and the whole, on the CPU: a layer's row with its worker, the whole's
// columns shared out.
void MeanRows(const at::Tensor& group_rows, std::span<const Scope> scopes,
              std::vector<at::Tensor>& out) {
  const at::Tensor packed = group_rows.contiguous();
  const int64_t layers = packed.size(0), groups = packed.size(1);
  const int64_t n = packed.size(2);
  const float* in = packed.data_ptr<float>();
  const cpu::RowKernels& kernels = cpu::BestRowKernels();
  for (size_t s = 0; s < scopes.size(); ++s)
    out[s] = scopes[s] == Scope::kHead
                 ? packed.flatten(0, 1)
                 : at::empty({scopes[s] == Scope::kLayer ? layers : 1, n},
                             packed.options());
  RunRowWorkers(layers, [&](int64_t worker, int64_t workers) {
    for (size_t s = 0; s < scopes.size(); ++s) {
      float* means = out[s].data_ptr<float>();
      if (scopes[s] == Scope::kLayer)
        for (int64_t l = worker; l < layers; l += workers)
          kernels.mean_of_rows(in + l * groups * n, n, groups, n,
                               means + l * n);
      if (scopes[s] == Scope::kGlobal)
        for (int64_t j = worker * kSpan; j < n; j += workers * kSpan)
          kernels.mean_of_rows(in + j, n, layers * groups,
                               std::min(kSpan, n - j), means + j);
    }
  });
}

at::Tensor MeanWithAten(const at::Tensor& group_rows, Scope scope) {
  if (scope == Scope::kHead) return group_rows.flatten(0, 1);
  if (scope == Scope::kLayer) return group_rows.mean(1);
  return group_rows.flatten(0, 1).mean(0, /*keepdim=*/true);
}

}  // namespace

std::vector<at::Tensor> RowsToScopes(const at::Tensor& group_rows,
                                     std::span<const Scope> scopes) {
  std::vector<at::Tensor> out(scopes.size());
  if (group_rows.device().is_cpu() && group_rows.scalar_type() == at::kFloat) {
    MeanRows(group_rows, scopes, out);
    return out;
  }
  for (size_t s = 0; s < scopes.size(); ++s)
    out[s] = MeanWithAten(group_rows, scopes[s]);
  return out;
}

at::Tensor RowsToScope(const at::Tensor& group_rows, Scope scope) {
  return RowsToScopes(group_rows, {&scope, 1})[0];
}

void AddRows(std::span<const RowsAndSums> all) {
  std::vector<at::Tensor> packed;
  int64_t most_rows = 0;
  for (const RowsAndSums& pair : all) {
    packed.push_back(pair.rows.contiguous());
    most_rows = std::max(most_rows, pair.rows.size(0));
    if (!pair.rows.device().is_cpu())
      pair.sums.narrow(1, 0, pair.rows.size(1)).add_(pair.rows);
  }
  if (all.empty() || !all[0].rows.device().is_cpu()) return;
  RunRowWorkers(most_rows, [&](int64_t worker, int64_t workers) {
    for (size_t i = 0; i < all.size(); ++i) {
      const int64_t n = packed[i].size(1);
      for (int64_t r = worker; r < packed[i].size(0); r += workers)
        cpu::BestRowKernels().add_to_doubles(
            packed[i].data_ptr<float>() + r * n, n,
            all[i].sums.data_ptr<double>() + r * all[i].sums.stride(0));
    }
  });
}

at::Tensor LayerEntropies(const at::Tensor& rows) {
  const at::Tensor p = rows.contiguous();
  if (!p.device().is_cpu()) {
    const at::Tensor wide = p.to(at::kDouble);
    return -at::xlogy(wide, wide).sum(-1);
  }
  at::Tensor entropies = at::empty({p.size(0)}, at::kDouble);
  RunRowWorkers(p.size(0), [&](int64_t worker, int64_t workers) {
    for (int64_t l = worker; l < p.size(0); l += workers)
      entropies.data_ptr<double>()[l] = cpu::BestRowKernels().entropy(
          p.data_ptr<float>() + l * p.size(1), p.size(1));
  });
  return entropies;
}

AttentionEntropy MeanEntropy(const at::Tensor& entropies) {
  return {entropies.mean().item<double>(),
          entropies.std(/*unbiased=*/false).item<double>()};
}

}  // namespace kvrecall
