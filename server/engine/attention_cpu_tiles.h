#pragma once

// Attention of many queries on the CPU: tiles of queries side by side, each
// over all the positions that it sees, with column sums of what it kept.
// Belongs to one cache.

#include <cstdint>
#include <vector>

#include "server/engine/attention_cpu_call.h"

namespace kvrecall {

template <typename T>
class TileAttention {
 public:
  explicit TileAttention(int64_t threads)
      : threads_(static_cast<size_t>(threads)) {}

  void Attend(const CpuCall<T>& call);

 private:
  struct Thread {
    Workspace<T> tile;
    Buffer<float> row_weights;
    std::vector<Buffer<double>> sums;  // one for each target
  };

  void AttendTile(const CpuCall<T>& call, int64_t head, int64_t first,
                  int64_t count, Thread& thread, bool own_sums) const;
  void Summarize(const CpuCall<T>& call, int64_t head, int64_t first,
                 int64_t count, const cpu::AttentionTile<T>& tile,
                 Thread& thread, bool own_sums) const;
  void Gather(const CpuCall<T>& call);

  std::vector<Thread> threads_;
};

}  // namespace kvrecall
