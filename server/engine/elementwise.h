#pragma once

// The steps between the matrix products, each in one pass over its tensors: on
// the CPU and on CUDA by kernels of the project's own, elsewhere by libtorch's
// operators. float32 inside, whatever the dtype. Stateless; runs on the calling
// thread and libtorch's pool, or the device's current stream.

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace kvrecall {

// x / √(mean(x²) + eps) · weight over the last dimension (arXiv 1910.07467);
// the quotient is rounded to x's dtype before the product, as Hugging Face
// does. x [T, size] or [T, heads, size] whose last dimension is packed,
// weight [size] → packed, of x's shape.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps);

// gate · sigmoid(gate) · up: [T, 2 · size], gate first → [T, size].
at::Tensor SiluMul(const at::Tensor& gate_up);

// Rotates x [T, heads, head_dim], whose last dimension is packed, in place:
// the two halves of a head against each other, by the angles whose cosines and
// sines [T, head_dim / 2], float32, are given.
void RotateInPlace(at::Tensor x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace kvrecall
