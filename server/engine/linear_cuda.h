#pragma once

// Products of a few vectors with a matrix on CUDA: unrounded, which libtorch's
// do not give in every version that this builds with, and of one vector, which
// these read the matrix faster for.

#include "ATen/core/Tensor.h"

namespace kvrecall {

// x [T, in] · weight [out, in]ᵀ → [T, out], float32; both float32 or bfloat16,
// weight packed. Sums are in float32, each in an order that depends on `in`
// alone: the same bits at every run, and whatever rows are beside one. Reads
// the matrix once for every 16 rows, on the device's current stream. Throws
// c10::Error where memory runs out or a shape is wrong.
at::Tensor MultiplyVectorsCuda(const at::Tensor& x, const at::Tensor& weight);

// x [1, in] · weight [out, in]ᵀ + bias [out] (undefined: none), rounded once to
// x's dtype; where `adds`, added to `result` [1, out], packed, whose sum is
// rounded too, else in its place. As above in all else.
void MultiplyVectorCuda(const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias, bool adds,
                        const at::Tensor& result);

}  // namespace kvrecall
