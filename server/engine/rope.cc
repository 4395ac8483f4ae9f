#include "server/engine/rope.h"

#include "ATen/ATen.h"

namespace kvrecall {

Rope::Rope(double theta, int64_t head_dim, int64_t positions,
           at::Device device) {
  // On the CPU first, so that every device works with the same tables.
  const at::Tensor exponents =
      at::arange(0, head_dim, 2, at::kLong).to(at::kFloat).div(head_dim);
  const at::Tensor inverse_frequencies =
      at::reciprocal(at::pow(at::Scalar(theta), exponents));
  const at::Tensor angles =
      at::arange(positions, at::kLong).to(at::kFloat).unsqueeze(1) *
      inverse_frequencies.unsqueeze(0);
  cos_ = angles.cos().unsqueeze(1).to(device);
  sin_ = angles.sin().unsqueeze(1).to(device);
}

at::Tensor Rope::Rotate(const at::Tensor& x,
                        const at::Tensor& positions) const {
  const int64_t half = x.size(2) / 2;
  const at::Tensor cos = cos_.index_select(0, positions);  // [T, 1, half]
  const at::Tensor sin = sin_.index_select(0, positions);
  const at::Tensor f = x.to(at::kFloat);
  const at::Tensor first = f.narrow(2, 0, half);
  const at::Tensor second = f.narrow(2, half, half);
  return at::cat({first * cos - second * sin, second * cos + first * sin}, 2)
      .to(x.scalar_type());
}

}  // namespace kvrecall
