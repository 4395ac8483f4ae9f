#pragma once

// Causal grouped-query attention that also yields what it looked at: single
// rows, and column sums over ranges of queries. The n × n matrix is never
// formed: memory is one tile of queries × positions.
//
// Stateless; runs on the calling thread and libtorch's pool.

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

namespace kvrecall {

// Column sums that one call adds to.
struct SumTarget {
  // Only queries from this index (within the call) on are summed.
  int64_t from_query = 0;
  // [kv_heads, ≥ N], float64: the sum over queries of the group's row. Wider
  // than float32, so that sums do not depend on the chunk size.
  at::Tensor sums;
};

struct AttentionResult {
  at::Tensor output;  // [Tq, query_heads, head_dim], dtype of the queries
  // One for each row asked for: [kv_heads, N], float32; sums to 1.
  std::vector<at::Tensor> rows;
};

// Queries [Tq, query_heads, head_dim] are the last Tq of the N positions that
// keys and values [kv_heads, N, head_dim] hold: query i sees the positions
// 0 … N − Tq + i. Scores are scaled by 1/√head_dim; softmax and accumulation
// are in float32, whatever the dtype; weights below 2⁻¹²⁶ count as 0. Query
// head h belongs to KV head h / (query_heads / kv_heads).
// `row_queries`: indexes of the queries whose group rows are wanted.
AttentionResult Attend(const at::Tensor& queries, const at::Tensor& keys,
                       const at::Tensor& values,
                       const std::vector<int64_t>& row_queries,
                       const std::vector<SumTarget>& sum_targets);

}  // namespace kvrecall
