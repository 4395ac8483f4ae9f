#include "tests/gpu/exact_attention.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "ATen/ATen.h"

namespace kvrecall {
namespace {

at::Tensor Wide(const at::Tensor& t) {
  return t.to(at::TensorOptions().device(at::kCPU).dtype(at::kDouble));
}

}  // namespace

ExactAttention AttendExactly(const at::Tensor& queries, const at::Tensor& keys,
                             const at::Tensor& values) {
  const at::Tensor q = Wide(queries), k = Wide(keys), v = Wide(values);
  const int64_t tq = q.size(0), heads = q.size(1), n = k.size(1);
  const int64_t per_group = heads / k.size(0);
  const at::Tensor hidden =
      at::ones({tq, n}, at::TensorOptions().dtype(at::kBool)).triu(n - tq + 1);
  ExactAttention exact;
  exact.output = at::empty_like(q);
  exact.log_sum_exp = at::empty({heads, tq}, q.options());
  exact.weights = at::zeros({k.size(0), tq, n}, q.options());
  for (int64_t h = 0; h < heads; ++h) {
    const int64_t g = h / per_group;
    at::Tensor scores =
        at::mm(q.select(1, h), k[g].t()) / std::sqrt(double(q.size(2)));
    scores.masked_fill_(hidden, -std::numeric_limits<double>::infinity());
    exact.log_sum_exp[h].copy_(at::logsumexp(scores, -1));
    const at::Tensor weights = at::softmax(scores, -1);
    exact.output.select(1, h).copy_(at::mm(weights, v[g]));
    exact.weights[g].add_(weights, 1.0 / static_cast<double>(per_group));
  }
  return exact;
}

double WorstError(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = Wide(a), y = Wide(b);
  return ((x - y).abs().max() / y.abs().max()).item<double>();
}

double WorstRelativeError(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = Wide(a), y = Wide(b);
  const at::Tensor error = (x - y).abs();
  return at::where(y > 0, error / y, error).max().item<double>();
}

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.cpu().contiguous(), y = b.cpu().contiguous();
  return x.scalar_type() == y.scalar_type() && x.sizes() == y.sizes() &&
         std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0;
}

}  // namespace kvrecall
