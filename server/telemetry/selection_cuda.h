#pragma once

// Selecting the top positions of rows on CUDA, and comparing such sets, for
// several budgets at once. Nothing of size N leaves the device, and nothing
// waits for it: all runs on its current stream. The same input gives the same
// bits. Throws c10::Error where memory runs out or a shape is wrong.
//
// A set is kept as the threshold of the order "higher score first, then lower
// position". A position is a member where
//   score > value || (score == value && position ≤ last)

#include <cstdint>
#include <span>

#include "ATen/core/Tensor.h"

namespace kvrecall {

// Of R rows and B budgets.
struct Thresholds {
  at::Tensor values;     // [R, B], the scores' dtype: the K-th highest score
  at::Tensor positions;  // [R, B], int64: the last member that has this score
};

// scores [R, N], float32 or float64, last dimension contiguous; no NaN, +∞ is
// allowed. ks: B set sizes, each in 1 … N, in any order.
Thresholds SelectTopCuda(const at::Tensor& scores, std::span<const int64_t> ks);

// rows [R, N], float32: the attention that `gold` was selected from.
// predicted_scores [R, N], float32 or float64: what `predicted` was selected
// from. → [4, R, B], float64: |predicted ∩ gold|, Σ of rows over predicted,
// Σ of rows over gold, 1 where gold has position N − 1.
at::Tensor CompareSetsCuda(const at::Tensor& rows, const Thresholds& gold,
                           const at::Tensor& predicted_scores,
                           const Thresholds& predicted);

}  // namespace kvrecall
