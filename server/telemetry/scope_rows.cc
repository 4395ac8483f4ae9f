#include "server/telemetry/scope_rows.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/row_kernels.h"

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

// Columns that one thread takes at a time.
constexpr int64_t kSpan = 2048;

// rows [A, B, N], float32, on the CPU → [A, N]: the mean over B.
at::Tensor MeanRows(const at::Tensor& rows) {
  const at::Tensor packed = rows.contiguous();
  const int64_t count = rows.size(1), n = rows.size(2);
  at::Tensor means = at::empty({rows.size(0), n}, rows.options());
  const float* in = packed.data_ptr<float>();
  float* out = means.data_ptr<float>();
  const int64_t spans = (n + kSpan - 1) / kSpan;
  at::parallel_for(0, rows.size(0) * spans, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t row = unit / spans, first = unit % spans * kSpan;
      cpu::BestRowKernels().mean_of_rows(in + row * count * n + first, n, count,
                                         std::min(kSpan, n - first),
                                         out + row * n + first);
    }
  });
  return means;
}

}  // namespace

at::Tensor RowsToScope(const at::Tensor& group_rows, Scope scope) {
  if (scope == Scope::kHead) return group_rows.flatten(0, 1);
  if (group_rows.device().is_cpu() && group_rows.scalar_type() == at::kFloat)
    return MeanRows(scope == Scope::kLayer
                        ? group_rows
                        : group_rows.flatten(0, 1).unsqueeze(0));
  if (scope == Scope::kLayer) return group_rows.mean(1);
  return group_rows.flatten(0, 1).mean(0, /*keepdim=*/true);
}

void AddRows(const at::Tensor& rows, at::Tensor sums) {
  const int64_t n = rows.size(1);
  if (!rows.device().is_cpu()) {
    sums.narrow(1, 0, n).add_(rows);
    return;
  }
  const at::Tensor packed = rows.contiguous();
  at::parallel_for(0, rows.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      cpu::BestRowKernels().add_to_doubles(
          packed.data_ptr<float>() + r * n, n,
          sums.data_ptr<double>() + r * sums.stride(0));
  });
}

at::Tensor LayerEntropies(const at::Tensor& rows) {
  const at::Tensor p = rows.contiguous();
  if (!p.device().is_cpu()) {
    const at::Tensor wide = p.to(at::kDouble);
    return -at::xlogy(wide, wide).sum(-1);
  }
  at::Tensor entropies = at::empty({p.size(0)}, at::kDouble);
  at::parallel_for(0, p.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t l = begin; l < end; ++l)
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
