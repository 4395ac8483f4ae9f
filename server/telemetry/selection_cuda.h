#pragma once

// Selecting the top positions of rows on CUDA, and weighing such sets, for
// several budgets at once. Nothing of size N leaves the device, and nothing
// waits for it: all runs on its current stream. The same input gives the same
// bits. Throws c10::Error where memory runs out or a shape is wrong.
//
// A set is found as the threshold of the order "higher score first, then lower
// position". A position is a member where
//   score > value || (score == value && position ≤ last)

#include <cstdint>
#include <span>

#include "ATen/core/Tensor.h"

#include "server/telemetry/selector.h"

namespace kvrecall {

// Of R rows and B budgets.
struct Thresholds {
  at::Tensor values;     // [R, B], the scores' dtype: the K-th highest score
  at::Tensor positions;  // [R, B], int64: the last member that has this score
};

// scores [R, N], float32 or float64, last dimension contiguous; no NaN, +∞ is
// allowed. ks: B set sizes, each in 1 … N, in any order.
Thresholds SelectTopCuda(const at::Tensor& scores, std::span<const int64_t> ks);

// masks [R, ≥ N], int16: a position gets bits[b] where it is a member of set b.
// At most kMostBudgets sets.
void MarkMembersCuda(const at::Tensor& scores, const Thresholds& thresholds,
                     std::span<const uint16_t> bits, const at::Tensor& masks);

// [kSetFigures, R, B], float64, as selector.h has them. weights [R, N],
// float32; masks [R, ≥ N], int16; `other` (as masks) and `fetched` (bits to
// count) may be undefined.
at::Tensor WeighMembersCuda(const at::Tensor& weights, const at::Tensor& masks,
                            const at::Tensor& other, const at::Tensor& fetched,
                            int budgets);

}  // namespace kvrecall
