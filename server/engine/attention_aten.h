#pragma once

// The reference attention as functions, for caches that keep plain tensors, and
// what those caches share.

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

// Keys and values as they come, of every layer in one tensor.
class PlainKvCache : public KvCache {
 public:
  PlainKvCache(const KvShape& shape, const at::TensorOptions& options);

  at::Tensor Keys(int64_t layer, int64_t first, int64_t count) const final;
  at::Tensor Values(int64_t layer, int64_t first, int64_t count) const final;

 protected:
  // [layers, 2, kv_heads, capacity, head_dim]: keys, then values.
  const at::Tensor& cache() const { return cache_; }
  // The layer's `count` positions from `position` on: [2, kv_heads, count,
  // head_dim].
  at::Tensor Slot(int64_t layer, int64_t position, int64_t count) const;

 private:
  at::Tensor cache_;
};

}  // namespace kvrecall
