#pragma once

// The weights of a Qwen2 checkpoint as tensors. On the CPU a tensor whose
// dtype is the file's stays in the mapped file; it keeps the mapping alive.
// Immutable; may be read from any thread.

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

#include "server/engine/hf_config.h"

namespace kvrecall {

struct LayerWeights {
  at::Tensor input_norm;  // [hidden]
  at::Tensor q, q_bias;   // [query_heads · head_dim, hidden], [rows of q]
  at::Tensor k, k_bias;   // [kv_heads · head_dim, hidden], [rows of k]
  at::Tensor v, v_bias;   // [kv_heads · head_dim, hidden], [rows of v]
  at::Tensor o;           // [hidden, query_heads · head_dim]
  at::Tensor post_norm;   // [hidden]
  at::Tensor gate, up;    // [intermediate, hidden]
  at::Tensor down;        // [hidden, intermediate]
};

struct HfWeights {
  at::Tensor embedding;  // [vocabulary, hidden]
  std::vector<LayerWeights> layers;
  at::Tensor norm;     // [hidden]
  at::Tensor head;     // [vocabulary, hidden]; the embedding itself if tied
  int64_t bytes = 0;   // of all tensors, in `options`' dtype
  std::string digest;  // SHA-256 over config.json and the weight files
};

// NotFound or InvalidArgument names the tensor and what is wrong with it:
// missing, shape, a dtype other than BF16 and F32.
absl::StatusOr<HfWeights> LoadHfWeights(const std::string& directory,
                                        const HfConfig& config,
                                        const at::TensorOptions& options);

}  // namespace kvrecall
