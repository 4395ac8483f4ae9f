#pragma once

// What the ways to attend on the CPU (attention_cpu_tiles.h,
// attention_cpu_split.h) share: the arguments of one call, and the steps into
// and out of a tile. A call lives as long as the function that it is handed to.

#include <cstdint>
#include <vector>

#include "server/cpu/kernels.h"
#include "server/engine/attention.h"
#include "server/engine/cpu_workers.h"
#include "server/engine/kv_layout_cpu.h"

namespace kvrecall {

// The logarithm to base 2 of e: weights are powers of two.
inline constexpr double kLog2E = 1.4426950408889634;

// A tensor [rows, heads, head_dim] whose heads' numbers stand side by side.
template <typename T>
struct HeadRows {
  explicit HeadRows(const at::Tensor& rows)
      : data(reinterpret_cast<const T*>(rows.data_ptr())),
        row_stride(rows.stride(0)),
        head_stride(rows.stride(1)) {}
  const T* At(int64_t row, int64_t head) const {
    return data + row * row_stride + head * head_stride;
  }

  const T* data;
  int64_t row_stride, head_stride;
};

// What a tile writes, on one thread.
template <typename T>
struct Workspace {
  // Points the tile, for `rows` against `blocks` of kept positions, here.
  void Fill(cpu::AttentionTile<T>& tile, int rows, int64_t blocks);

  Buffer<typename cpu::Unit<T>::Type> queries, scratch;
  Buffer<float> output, exponent, sum, lane_sums, weights, block_exponent;
  Buffer<int64_t> limits;
};

// What each lane of a masked call has of its own; its query is the call's.
template <typename T>
struct CpuLanes {
  HeadRows<T> keys, values;  // [lanes, kv_heads, head_dim]
  // For each lane [1 or kv_heads, past], uint8, packed rows.
  const std::vector<at::Tensor>& visible;
};

template <typename T>
struct CpuCall {
  const CpuKvLayout<T>& layout;
  const cpu::Kernels& kernels;
  int64_t layer;
  int64_t positions;  // N
  int64_t tq, query_heads, per_group;
  HeadRows<T> queries;  // [tq, query_heads, head_dim]
  T* output;            // [tq, query_heads, head_dim]
  float* log_sum_exp;   // [query_heads, tq]; null: not wanted
  const AttentionRequest& request;

  // A tile of the KV head `head` without its rows.
  cpu::AttentionTile<T> StartTile(int64_t head) const;
  // Row i · per_group + h of the tile becomes query `first` + i of the group's
  // head h.
  void LoadQueries(int64_t head, int64_t first, int64_t count,
                   const cpu::AttentionTile<T>& tile) const;
  void Run(const cpu::AttentionTile<T>& tile) const;
  // The same rows' results: output [rows, head_lanes], exponent and sum [rows].
  void StoreOutput(int64_t head, int64_t first, int64_t count,
                   const float* rows, const float* exponent,
                   const float* sum) const;
};

}  // namespace kvrecall
