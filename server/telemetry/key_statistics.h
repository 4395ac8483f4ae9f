#pragma once

// What policies want to know of the keys: their norms, and how similar each is
// to the mean of the normalised keys. Belongs to one sample and to the engine
// thread.

#include <cstdint>

#include "ATen/core/Tensor.h"

#include "server/engine/model.h"

namespace kvrecall {

class KeyStatistics {
 public:
  // Takes in the positions that `sequence` holds; room for `capacity`.
  KeyStatistics(const Sequence& sequence, int64_t capacity);

  // Takes in what is new of the first `length` positions, which the sequence
  // holds; it may hold more.
  void TakeIn(int64_t length);

  // ‖k‖ of the positions taken in: [layers, kv_heads, positions], float32.
  at::Tensor norms() const { return norms_.narrow(2, 0, known_); }
  // Cosine of each key and the mean of all normalised keys taken in; 0 for a
  // key that is 0. As norms().
  at::Tensor Similarities() const;

 private:
  const Sequence& sequence_;
  int64_t known_ = 0;
  at::Tensor norms_;  // [layers, kv_heads, capacity], float32
  at::Tensor sums_;   // [layers, kv_heads, head_dim], float64
};

}  // namespace kvrecall
