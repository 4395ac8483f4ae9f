#pragma once

// Rotary position embeddings as Hugging Face transformers computes them for
// `rope_type` default: inverse frequencies θ^(−2i/d), position × frequency,
// cosine and sine, all in float32; the two halves of a head are rotated
// against each other (arXiv 2104.09864).
//
// Immutable after construction; may be read from any thread.

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace kvrecall {

class Rope {
 public:
  // Tables for positions 0 … positions − 1.
  Rope(double theta, int64_t head_dim, int64_t positions, at::Device device);

  // Rotates x [T, heads, head_dim] of any dtype, whose rows stand at
  // `positions` [T], int64; computed in float32, returned in x's dtype.
  at::Tensor Rotate(const at::Tensor& x, const at::Tensor& positions) const;

 private:
  at::Tensor cos_;  // [positions, 1, head_dim / 2], float32
  at::Tensor sin_;  // [positions, 1, head_dim / 2], float32
};

}  // namespace kvrecall
