#pragma once

// The project's own attention kernels on CUDA: what FlashAttention does not
// give. dtype is float32 or bfloat16 throughout.
//
//   queries      [Tq, query_heads, head_dim], contiguous: the last Tq of the N
//                positions
//   keys, values [kv_heads, N, head_dim]: each head's [N, head_dim] is
//                contiguous
//   per group    query_heads / kv_heads
//
// All run on the device's current stream, never wait for it, and yield the
// same bits at every run: no floating-point atomics, and splits whose size
// depends on the shape alone. Exponentials are of base 2 inside; weights below
// 2⁻¹²⁶ count as 0. They throw c10::Error where memory runs out or a launch is
// refused.

#include <cstdint>

#include "ATen/core/Tensor.h"

#include "server/engine/attention.h"

namespace kvrecall {

// True for what the kernels take: head sizes up to 128 that are multiples of
// 8, and groups of up to 8 query heads.
bool CudaKernelsTake(int64_t head_dim, int64_t per_group);

// Adds to `sums` [kv_heads, ≥ N], float64, for each position the sum over the
// queries from `from_query` on that see it, of the mean over the group's heads
// of exp(q·k/√head_dim − lse), lse being log_sum_exp [query_heads, Tq],
// float32, contiguous.
//
// bfloat16 is multiplied by tensor cores with float32 accumulation, float32 by
// plain multiply-adds. Workspace: 4 · 16 · kv_heads · N bytes at most.
void AddColumnSumsCuda(const at::Tensor& queries, const at::Tensor& keys,
                       const at::Tensor& log_sum_exp, int64_t from_query,
                       at::Tensor sums);

// Overwrites the first N columns of `row` [kv_heads, ≥ N], float32, with one
// query's weights, the mean over each group's heads; 0 behind what it sees.
void StoreRowCuda(const at::Tensor& queries, const at::Tensor& keys,
                  const at::Tensor& log_sum_exp, int64_t query, at::Tensor row);

// Attention of one query [1, query_heads, head_dim]: keys and values are read
// once. Where `row` [kv_heads, ≥ N], float32, is defined, its first N columns
// are overwritten with the group rows.
AttentionResult DecodeCuda(const at::Tensor& query, const at::Tensor& keys,
                           const at::Tensor& values, at::Tensor row);

// Attention of lanes over keys and values [kv_heads, past, head_dim] and what
// each has of its own, as KvCache::AttendMasked → [lanes, query_heads,
// head_dim]. Workspace: 32 MiB, or what one lane takes, 4 · query_heads ·
// head_dim bytes for every 128 positions.
at::Tensor AttendMaskedCuda(const at::Tensor& keys, const at::Tensor& values,
                            const LaneQueries& lanes);

// Inner products of keys [layers, kv_heads, N, head_dim], whose [N, head_dim]
// are contiguous, with directions [layers, kv_heads, head_dim], float32 →
// [layers, kv_heads, N], float32, in one launch. Keys are widened exactly.
at::Tensor KeyProductsCuda(const at::Tensor& directions,
                           const at::Tensor& keys);

// Copies keys and values [T, kv_heads, head_dim] to `slot` [2, kv_heads, T,
// head_dim] of the same dtype, whose rows are contiguous, in one launch.
void StoreKeysValuesCuda(const at::Tensor& keys, const at::Tensor& values,
                         at::Tensor slot);

}  // namespace kvrecall
