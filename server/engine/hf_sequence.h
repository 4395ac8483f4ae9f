#pragma once

// The sequences of HfModel: a KV cache and how much of it is filled. Same
// thread rule as every Sequence.

#include <cstdint>
#include <memory>

#include "ATen/core/Tensor.h"

#include "server/engine/attention.h"
#include "server/engine/model.h"

namespace kvrecall {

class HfSequence final : public Sequence {
 public:
  // `options`: dtype and device of the cache. Throws c10::Error where memory
  // runs out.
  HfSequence(const KvShape& shape, const at::TensorOptions& options);

  int64_t length() const override { return length_; }
  int64_t capacity() const override { return shape_.capacity; }
  at::Tensor Keys(int64_t first, int64_t count) const override;
  at::Tensor KeyProducts(const at::Tensor& directions,
                         int64_t positions) const override;

  // Attention of the queries [T, query_heads, head_dim] that stand behind the
  // positions held, whose keys and values [T, kv_heads, head_dim] are stored
  // first → [T, query_heads, head_dim].
  at::Tensor Attend(int64_t layer, const at::Tensor& queries,
                    const at::Tensor& keys, const at::Tensor& values,
                    const AttentionRequest& request);
  // The positions that all layers have stored are held from now on.
  void Advance(int64_t tokens) { length_ += tokens; }

  // Attention of lanes of the last position held; stores nothing.
  at::Tensor AttendMasked(int64_t layer, const LaneQueries& lanes) const;

 private:
  const KvShape shape_;
  const at::TensorOptions wide_;  // float32 on the cache's device
  const std::unique_ptr<KvCache> cache_;
  int64_t length_ = 0;
};

}  // namespace kvrecall
