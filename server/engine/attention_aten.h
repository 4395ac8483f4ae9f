#pragma once

// The reference attention as a function, for caches that keep plain tensors.

#include "ATen/core/Tensor.h"

#include "server/engine/attention.h"

namespace kvrecall {

// Attention of queries [Tq, query_heads, head_dim] over keys and values
// [kv_heads, N, head_dim] with libtorch's operators alone; else as
// KvCache::Attend.
AttentionResult AttendWithAten(const at::Tensor& keys, const at::Tensor& values,
                               const at::Tensor& queries,
                               const AttentionRequest& request);

// The same for lanes over keys and values [kv_heads, past, head_dim]: else as
// KvCache::AttendMasked.
at::Tensor AttendMaskedWithAten(const at::Tensor& keys,
                                const at::Tensor& values,
                                const LaneQueries& lanes);

}  // namespace kvrecall
