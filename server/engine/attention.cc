#include "server/engine/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ATen/ATen.h"

namespace kvrecall {
namespace {

// The largest float below 2⁻¹²⁶, the smallest normal one.
const float kLargestDenormal =
    std::nextafter(std::numeric_limits<float>::min(), 0.0f);

// A tile's weights, in elements: 8 MiB, so that softmax and sums find them in
// the cache that the product left them in.
constexpr int64_t kTileElements = int64_t{2} << 20;

int64_t TileQueries(int64_t queries, int64_t per_group, int64_t positions) {
  return std::clamp<int64_t>(kTileElements / (per_group * positions), 1,
                             queries);
}

// Softmax over the positions that each query sees, in place. `scores` [heads,
// queries, visible]: the queries are the last of the visible positions, so
// only the last columns hold positions that some query must not see.
at::Tensor CausalSoftmax(at::Tensor scores) {
  const int64_t queries = scores.size(1);
  if (queries > 1)
    scores.narrow(2, scores.size(2) - queries, queries)
        .masked_fill_(
            at::ones({queries, queries}, scores.options().dtype(at::kBool))
                .triu(1),
            -std::numeric_limits<float>::infinity());
  at::Tensor weights = at::softmax(scores, -1);
  return at::threshold_(weights, kLargestDenormal, 0);
}

// Adds the rows of the queries from `first` on, as means over heads, to `sums`
// [≥ visible], float64.
void AddSums(const at::Tensor& weights, int64_t first, at::Tensor sums) {
  const int64_t count = weights.size(1) - first;
  if (count <= 0) return;
  sums.narrow(0, 0, weights.size(2))
      .add_(weights.narrow(1, first, count).sum(std::vector<int64_t>{0, 1}),
            1.0 / static_cast<double>(weights.size(0)));
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
        at::zeros({kv_heads, n}, queries.options().dtype(at::kFloat)));
  const int64_t tile = TileQueries(tq, per_group, n);

  for (int64_t g = 0; g < kv_heads; ++g) {
    const at::Tensor k = keys[g].to(at::kFloat);    // [N, head_dim]
    const at::Tensor v = values[g].to(at::kFloat);  // [N, head_dim]
    for (int64_t begin = 0; begin < tq; begin += tile) {
      const int64_t count = std::min(tile, tq - begin);
      const int64_t visible = n - tq + begin + count;
      // [per_group · count, head_dim], float32
      const at::Tensor q = queries.narrow(0, begin, count)
                               .narrow(1, g * per_group, per_group)
                               .transpose(0, 1)
                               .reshape({per_group * count, head_dim})
                               .to(at::kFloat)
                               .mul(scale);
      // [per_group, count, visible], float32, rows sum to 1
      const at::Tensor weights =
          CausalSoftmax(at::mm(q, k.narrow(0, 0, visible).t())
                            .view({per_group, count, visible}));
      for (size_t i = 0; i < row_queries.size(); ++i)
        if (row_queries[i] >= begin && row_queries[i] < begin + count)
          result.rows[i][g]
              .narrow(0, 0, visible)
              .copy_(weights.select(1, row_queries[i] - begin).mean(0));
      for (const SumTarget& target : sum_targets)
        AddSums(weights, std::max<int64_t>(target.from_query - begin, 0),
                target.sums[g]);
      result.output.narrow(0, begin, count)
          .narrow(1, g * per_group, per_group)
          .copy_(at::mm(weights.view({per_group * count, visible}),
                        v.narrow(0, 0, visible))
                     .view({per_group, count, head_dim})
                     .transpose(0, 1));
    }
  }
  return result;
}

}  // namespace kvrecall
