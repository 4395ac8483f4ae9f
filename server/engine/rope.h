#pragma once

// Rotary position embeddings (arXiv 2104.09864) as Hugging Face transformers
// computes them, all in float32: inverse frequencies θ^(−2i/d), changed as the
// checkpoint's scaling says, position × frequency, cosine and sine; the two
// halves of a head are rotated against each other.
//
// Immutable after construction; may be read from any thread.

#include <cstdint>

#include "ATen/core/Tensor.h"

#include "server/engine/rope_config.h"

namespace kvrecall {

// [head_dim / 2], float32, on the CPU. Sources: linear, dividing positions by
// the factor (arXiv 2306.15595); llama3, Llama 3.1's model code; yarn, arXiv
// 2309.00071.
at::Tensor InverseFrequencies(const RopeConfig& config, int64_t head_dim);

class Rope {
 public:
  // Tables for positions 0 … positions − 1.
  Rope(const RopeConfig& config, int64_t head_dim, int64_t positions,
       at::Device device);

  // Cosines and sines of `positions` [T], int64: each [T, head_dim / 2],
  // float32, attention factor included.
  struct Angles {
    at::Tensor cos, sin;
  };
  Angles At(const at::Tensor& positions) const;

 private:
  at::Tensor cos_, sin_;  // [positions, head_dim / 2], as At gives them
};

}  // namespace kvrecall
