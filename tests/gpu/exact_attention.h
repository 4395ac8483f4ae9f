#pragma once

// Attention in float64 on the CPU, with whole matrices: what the kernels are
// compared with. Linked into tests only.

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace kvrecall {

struct ExactAttention {
  at::Tensor output;       // [Tq, query_heads, head_dim], float64
  at::Tensor log_sum_exp;  // [query_heads, Tq], float64
  at::Tensor weights;  // [kv_heads, Tq, N], float64: the mean over the group
};

// queries [Tq, query_heads, head_dim], the last Tq of N; keys and values
// [kv_heads, N, head_dim]; of any dtype, on any device.
ExactAttention AttendExactly(const at::Tensor& queries, const at::Tensor& keys,
                             const at::Tensor& values);

// max |a − b| / max |b|, in float64 on the CPU.
double WorstError(const at::Tensor& a, const at::Tensor& b);

// max |a − b| / b where b > 0, in float64 on the CPU; b ≥ 0.
double WorstRelativeError(const at::Tensor& a, const at::Tensor& b);

// True if both hold the same bits.
bool SameBits(const at::Tensor& a, const at::Tensor& b);

}  // namespace kvrecall
