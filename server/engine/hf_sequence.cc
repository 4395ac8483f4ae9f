#include "server/engine/hf_sequence.h"

#include "ATen/ATen.h"

namespace kvrecall {

HfSequence::HfSequence(const KvShape& shape, const at::TensorOptions& options)
    : shape_(shape),
      wide_(options.dtype(at::kFloat)),
      cache_(MakeKvCache(shape, options)) {}

at::Tensor HfSequence::Keys(int64_t first, int64_t count) const {
  at::Tensor keys = at::empty(
      {shape_.layers, shape_.kv_heads, count, shape_.head_dim}, wide_);
  for (int64_t l = 0; l < shape_.layers; ++l)
    keys[l].copy_(cache_->Keys(l, first, count));
  return keys;
}

at::Tensor HfSequence::KeyProducts(const at::Tensor& directions,
                                   int64_t positions) const {
  return cache_->KeyProducts(directions, positions);
}

at::Tensor HfSequence::Attend(int64_t layer, const at::Tensor& queries,
                              const at::Tensor& keys, const at::Tensor& values,
                              const AttentionRequest& request) {
  cache_->Write(layer, length_, keys, values);
  return cache_->Attend(layer, length_ + keys.size(0), queries, request).output;
}

at::Tensor HfSequence::AttendMasked(int64_t layer,
                                    const LaneQueries& lanes) const {
  return cache_->AttendMasked(layer, length_ - 1, lanes);
}

}  // namespace kvrecall
