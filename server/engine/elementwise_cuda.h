#pragma once

// The element-wise parts of a transformer block on CUDA, each one kernel. All
// take float32 or bfloat16 with a contiguous last dimension, compute in
// float32, and round to the input's dtype where Hugging Face's modules do.
// They run on the device's current stream and never wait for it; the same
// input gives the same bits. They throw c10::Error where memory runs out or a
// shape is wrong.

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace kvrecall {

// x [T, size] or [T, heads, size] of any strides but the last, weight [size] →
// packed, of x's shape: weight · x / √(mean(x²) + eps) over the last dimension.
// The quotient is rounded before it is multiplied with the weight, as
// Qwen2RMSNorm does.
at::Tensor RmsNormCuda(const at::Tensor& x, const at::Tensor& weight,
                       double eps);

// gate_up [T, 2 · ffn], the gate's half first → [T, ffn]: silu(gate) · up. The
// silu is rounded before it is multiplied, as Qwen2MLP does.
at::Tensor SiluMulCuda(const at::Tensor& gate_up);

// Rotates x [T, heads, head_dim] in place, the two halves of a head against
// each other; cos and sin [T, head_dim / 2], float32, packed. Products and sums
// are float32's, each rounded, whatever the dtype; the result is rounded once.
void RotateInPlaceCuda(at::Tensor x, const at::Tensor& cos,
                       const at::Tensor& sin);

}  // namespace kvrecall
