#pragma once

// Attention the slow, obvious way: one query, one head, one position at a
// time, in float64. Linked into tests only.

#include <cstdint>
#include <vector>

namespace kvrecall {

struct ReferenceAttention {
  // [query_heads][Tq][N]; 0 where the query must not look
  std::vector<std::vector<std::vector<double>>> weights;
  // [Tq][query_heads][head_dim]
  std::vector<std::vector<std::vector<double>>> output;
};

// queries [Tq][query_heads][head_dim], keys and values [kv_heads][N][head_dim],
// flat and row-major. The queries are the last Tq of N positions.
ReferenceAttention AttendSlowly(const std::vector<float>& queries,
                                const std::vector<float>& keys,
                                const std::vector<float>& values, int64_t tq,
                                int64_t n, int64_t query_heads,
                                int64_t kv_heads, int64_t head_dim);

}  // namespace kvrecall
