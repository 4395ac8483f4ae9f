#pragma once

// Causal grouped-query attention over a KV cache that also yields what it
// looked at: single rows, and column sums over ranges of queries. The n × n
// matrix is never formed: memory is O(tile + n).
//
// Cache and operator are one interface, because each kernel keeps keys and
// values in the layout that it reads fastest. Implementations:
// attention_aten.cc (libtorch's operators alone, any device: the reference),
// attention_cpu.cc, attention_cuda.cc; MakeKvCache chooses.
//
// A cache belongs to one sequence and one thread; its work runs on the calling
// thread, libtorch's pool, or the device's current stream.

#include <cstdint>
#include <memory>
#include <vector>

#include "ATen/core/Tensor.h"

namespace kvrecall {

struct KvShape {
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t capacity = 0;  // positions
};

// A query whose group row is wanted.
struct RowTarget {
  int64_t query = 0;  // index within the call
  // [kv_heads, ≥ N], float32, on the cache's device: the first N columns are
  // overwritten with the mean row over each group's query heads; sums to 1.
  at::Tensor row;
};

// Column sums that one call adds to.
struct SumTarget {
  // Only queries from this index (within the call) on are summed.
  int64_t from_query = 0;
  // [kv_heads, ≥ N], float64, on the cache's device: the sum over queries of
  // the group's row. Wider than float32, so that sums do not depend on the
  // chunk size.
  at::Tensor sums;
};

struct AttentionRequest {
  std::vector<RowTarget> rows;
  std::vector<SumTarget> sums;
};

// Lanes: alternatives to the same query at the same position, each with a key
// and a value of its own for that position and limited in what it sees of the
// past.
struct LaneQueries {
  at::Tensor queries;       // [lanes, query_heads, head_dim]
  at::Tensor keys, values;  // [lanes, kv_heads, head_dim]: their own
  // For each lane [1 or kv_heads, past], uint8 on the cache's device: 0 where
  // it does not see, anything else where it does; one row is every head's.
  std::vector<at::Tensor> visible;
};

struct AttentionResult {
  at::Tensor output;       // [Tq, query_heads, head_dim], the queries' dtype
  at::Tensor log_sum_exp;  // [query_heads, Tq], float32: ln Σ exp(scaled q·k)
};

class KvCache {
 public:
  virtual ~KvCache() = default;

  // Stores keys (after RoPE) and values, each [T, kv_heads, head_dim] in the
  // cache's dtype, of one layer at `position` and the T − 1 that follow.
  virtual void Write(int64_t layer, int64_t position, const at::Tensor& keys,
                     const at::Tensor& values) = 0;

  // [kv_heads, count, head_dim]: what was written at `first` and the
  // positions that follow; a view or a copy.
  virtual at::Tensor Keys(int64_t layer, int64_t first,
                          int64_t count) const = 0;
  virtual at::Tensor Values(int64_t layer, int64_t first,
                            int64_t count) const = 0;

  // Inner products of the first `positions` keys of every layer with
  // directions [layers, kv_heads, head_dim], float32 → [layers, kv_heads,
  // positions], float32. Keys are widened exactly, directions never rounded.
  virtual at::Tensor KeyProducts(const at::Tensor& directions,
                                 int64_t positions) const;

  // Queries [Tq, query_heads, head_dim] are the last Tq of the first
  // `positions` (N) of the layer: query i sees the positions 0 … N − Tq + i.
  // Scores are scaled by 1/√head_dim; softmax and accumulation are in float32,
  // whatever the dtype; weights below 2⁻¹²⁶ count as 0. Query head h belongs
  // to KV head h / (query_heads / kv_heads).
  virtual AttentionResult Attend(int64_t layer, int64_t positions,
                                 const at::Tensor& queries,
                                 const AttentionRequest& request) const = 0;

  // Attention of lanes at position `past`, over what each sees of the `past`
  // positions before it and over its own key and value, which it always sees;
  // what the cache holds at `past` (< capacity) and behind plays no part.
  // Arithmetic as in
  // Attend → [lanes, query_heads, head_dim], the queries' dtype. A lane that
  // sees everything gets what Attend gives a single query whose key and value
  // are in the cache: on the CPU bit for bit.
  virtual at::Tensor AttendMasked(int64_t layer, int64_t past,
                                  const LaneQueries& lanes) const;
};

// The fastest cache for the device and dtype (float32 or bfloat16) of
// `options`. Throws c10::Error where memory runs out.
std::unique_ptr<KvCache> MakeKvCache(const KvShape& shape,
                                     const at::TensorOptions& options);

// The reference, on any device.
std::unique_ptr<KvCache> MakeAtenKvCache(const KvShape& shape,
                                         const at::TensorOptions& options);

}  // namespace kvrecall
