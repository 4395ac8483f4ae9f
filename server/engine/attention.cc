#include "server/engine/attention.h"

#include <cmath>
#include <limits>

#include "ATen/ATen.h"

namespace kvrecall {
namespace {

// The largest float below 2⁻¹²⁶, the smallest normal one.
const float kLargestDenormal =
    std::nextafter(std::numeric_limits<float>::min(), 0.0f);

// [Tq, Tq] booleans over the last Tq positions: true where query i must not
// look. Undefined where there is one query, which sees everything.
at::Tensor CausalMask(int64_t queries, const at::TensorOptions& options) {
  if (queries == 1) return {};
  return at::ones({queries, queries}, options.dtype(at::kBool)).triu(1);
}

}  // namespace

AttentionResult Attend(const at::Tensor& queries, const at::Tensor& keys,
                       const at::Tensor& values,
                       const std::vector<int64_t>& row_queries,
                       const std::vector<SumTarget>& sum_targets) {
  const int64_t tq = queries.size(0);
  const int64_t query_heads = queries.size(1);
  const int64_t head_dim = queries.size(2);
  const int64_t kv_heads = keys.size(0);
  const int64_t n = keys.size(1);
  const int64_t per_group = query_heads / kv_heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));

  AttentionResult result;
  result.output = at::empty({tq, query_heads, head_dim}, queries.options());
  for (size_t i = 0; i < row_queries.size(); ++i)
    result.rows.push_back(
        at::empty({kv_heads, n}, queries.options().dtype(at::kFloat)));
  // Only the last Tq columns hold positions that some query must not see.
  const at::Tensor mask = CausalMask(tq, queries.options());

  for (int64_t g = 0; g < kv_heads; ++g) {
    // [per_group · Tq, head_dim], float32
    const at::Tensor q = queries.narrow(1, g * per_group, per_group)
                             .transpose(0, 1)
                             .reshape({per_group * tq, head_dim})
                             .to(at::kFloat)
                             .mul(scale);
    const at::Tensor k = keys[g].to(at::kFloat);    // [N, head_dim]
    const at::Tensor v = values[g].to(at::kFloat);  // [N, head_dim]
    at::Tensor scores = at::mm(q, k.t()).view({per_group, tq, n});  // float32
    if (mask.defined())
      scores.narrow(2, n - tq, tq)
          .masked_fill_(mask, -std::numeric_limits<float>::infinity());
    // [per_group, Tq, N], float32, rows sum to 1
    at::Tensor weights = at::softmax(scores, -1);
    at::threshold_(weights, kLargestDenormal, 0);
    scores.reset();

    for (size_t i = 0; i < row_queries.size(); ++i)
      result.rows[i][g].copy_(weights.select(1, row_queries[i]).mean(0));
    for (const SumTarget& target : sum_targets) {
      const int64_t count = tq - target.from_query;
      if (count <= 0) continue;
      target.sums[g].narrow(0, 0, n).add_(
          weights.narrow(1, target.from_query, count)
              .sum(std::vector<int64_t>{0, 1}),
          1.0 / static_cast<double>(per_group));
    }
    result.output.narrow(1, g * per_group, per_group)
        .copy_(at::mm(weights.view({per_group * tq, n}), v)
                   .view({per_group, tq, head_dim})
                   .transpose(0, 1));
  }
  return result;
}

}  // namespace kvrecall
