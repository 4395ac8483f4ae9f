#pragma once

// Attention of a single query on the CPU: ranges of positions side by side,
// then merged. Belongs to one cache.

#include <cstdint>
#include <vector>

#include "server/engine/attention_cpu_call.h"

namespace kvrecall {

template <typename T>
class SplitAttention {
 public:
  explicit SplitAttention(int64_t threads)
      : threads_(static_cast<size_t>(threads)) {}

  // call.tq is 1.
  void Attend(const CpuCall<T>& call);

 private:
  void Merge(const CpuCall<T>& call, int64_t head, int64_t splits);
  void StoreRows(const CpuCall<T>& call, int64_t head, const float* exponent,
                 const float* sum, float* row_weights);

  std::vector<Workspace<T>> threads_;
  // [kv_heads · splits, …] as in a tile, and what is merged.
  Workspace<T> split_;
  Buffer<float> merged_;
};

}  // namespace kvrecall
