#pragma once

// The weights of a checkpoint as tensors; projections that read the same input
// are joined, so that one product computes them. All are copies, on huge pages
// where there are any: a step reads them all, and from a mapped file's small
// pages it would read more slowly. Immutable; may be read from any thread.

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

#include "server/engine/hf_config.h"

namespace kvrecall {

// Those that the architecture does not have are undefined.
struct LayerWeights {
  at::Tensor input_norm;  // [hidden]
  // Rows: all query heads, all key heads, all value heads.
  at::Tensor qkv;       // [(query_heads + 2 · kv_heads) · head_dim, hidden]
  at::Tensor qkv_bias;  // [rows of qkv]
  at::Tensor q_norm, k_norm;  // [head_dim]
  at::Tensor o;               // [hidden, query_heads · head_dim]
  at::Tensor o_bias;          // [hidden]
  at::Tensor post_norm;       // [hidden]
  at::Tensor gate_up;         // [2 · intermediate, hidden], gate's rows first
  at::Tensor down;            // [hidden, intermediate]
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
// missing, shape, a dtype other than BF16, F16 and F32. Needs, beside the
// weights, the memory of one tensor of the file.
absl::StatusOr<HfWeights> LoadHfWeights(const std::string& directory,
                                        const HfConfig& config,
                                        const at::TensorOptions& options);

// The bytes that they would take as `dtype`, where LoadHfWeights would find all
// that it looks for: its errors, found in the files' headers alone.
absl::StatusOr<int64_t> CheckHfWeights(const std::string& directory,
                                       const HfConfig& config,
                                       at::ScalarType dtype);

// Normally distributed weights from a fixed seed, norms of 1.
absl::StatusOr<HfWeights> RandomHfWeights(const HfConfig& config,
                                          const at::TensorOptions& options);

}  // namespace kvrecall
