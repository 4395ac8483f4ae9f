#pragma once

// Attention of one position on the CPU, by its single query or by several
// lanes of it: ranges of positions side by side, then merged. Belongs to one
// cache.
//
// Lanes share the reading of the past: the rows of a tile are lanes × heads of
// a group, and a bit for each position hides what a lane must not see. The last
// block is each lane's own, a copy in which the last position holds its key and
// value. So every row runs through the same operations in the same order as the
// single query's, whatever the lanes beside it.

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
  void Attend(const CpuCall<T>& call) { AttendRanges(call, nullptr); }
  // call.tq is the number of lanes, call.positions past + 1; no row or sum is
  // asked for.
  void AttendMasked(const CpuCall<T>& call, const CpuLanes<T>& lanes);

 private:
  using U = typename cpu::Unit<T>::Type;
  struct Thread {
    Workspace<T> tile;
    Buffer<U> keys, values;  // a lane's last block
  };

  void AttendRanges(const CpuCall<T>& call, const CpuLanes<T>* lanes);
  void AttendLanes(const CpuCall<T>& call, const CpuLanes<T>& lanes,
                   int64_t head, cpu::AttentionTile<T> tile, Thread& thread);
  void PackMasks(const CpuCall<T>& call, const CpuLanes<T>& lanes);
  void Merge(const CpuCall<T>& call, int64_t head, int64_t splits);
  void StoreRows(const CpuCall<T>& call, int64_t head, const float* exponent,
                 const float* sum, float* row_weights);

  std::vector<Thread> threads_;
  // [kv_heads · splits, …] as in a tile, and what is merged.
  Workspace<T> split_;
  Buffer<float> merged_;
  // Of a masked call: [kv_heads, lanes, whole blocks of words of kLanes bits].
  Buffer<uint16_t> masks_;
};

}  // namespace kvrecall
