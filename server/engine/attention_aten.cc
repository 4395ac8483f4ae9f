#include "server/engine/attention_aten.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ATen/ATen.h"

#include "server/engine/attention.h"

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

// Scores of positions that a query must not see become −∞. `scores` [heads,
// queries, visible]: the queries are the last of the visible positions, so
// only the last columns hold such positions.
void MaskFuture(at::Tensor scores) {
  const int64_t queries = scores.size(1);
  if (queries == 1) return;
  scores.narrow(2, scores.size(2) - queries, queries)
      .masked_fill_(
          at::ones({queries, queries}, scores.options().dtype(at::kBool))
              .triu(1),
          -std::numeric_limits<float>::infinity());
}

// The mean over heads of one query's weights, 0 behind what the tile sees.
void StoreRow(const at::Tensor& weights, int64_t query, int64_t n,
              at::Tensor row) {
  const int64_t visible = weights.size(2);
  row.narrow(0, 0, visible).copy_(weights.select(1, query).mean(0));
  row.narrow(0, visible, n - visible).zero_();
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

AttentionResult AttendWithAten(const at::Tensor& keys, const at::Tensor& values,
                               const at::Tensor& queries,
                               const AttentionRequest& request) {
  const int64_t tq = queries.size(0);
  const int64_t query_heads = queries.size(1);
  const int64_t head_dim = queries.size(2);
  const int64_t kv_heads = keys.size(0);
  const int64_t n = keys.size(1);
  const int64_t per_group = query_heads / kv_heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));

  AttentionResult result;
  result.output = at::empty({tq, query_heads, head_dim}, queries.options());
  result.log_sum_exp =
      at::empty({query_heads, tq}, queries.options().dtype(at::kFloat));
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
      // [per_group, count, visible], float32
      at::Tensor weights = at::mm(q, k.narrow(0, 0, visible).t())
                               .view({per_group, count, visible});
      MaskFuture(weights);
      result.log_sum_exp.narrow(0, g * per_group, per_group)
          .narrow(1, begin, count)
          .copy_(at::logsumexp(weights, -1));
      weights = at::softmax(weights, -1);
      at::threshold_(weights, kLargestDenormal, 0);
      for (const RowTarget& target : request.rows)
        if (target.query >= begin && target.query < begin + count)
          StoreRow(weights, target.query - begin, n, target.row[g]);
      for (const SumTarget& target : request.sums)
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

namespace {

// Where lanes see a position of the head `head`: [lanes, past], bool.
at::Tensor SeenBy(const LaneQueries& lanes, int64_t head) {
  std::vector<at::Tensor> rows;
  for (const at::Tensor& visible : lanes.visible)
    rows.push_back(visible[visible.size(0) == 1 ? 0 : head]);
  return at::stack(rows).to(at::kBool);
}

}  // namespace

at::Tensor AttendMaskedWithAten(const at::Tensor& keys,
                                const at::Tensor& values,
                                const LaneQueries& lanes) {
  const int64_t kv_heads = keys.size(0);
  const int64_t past = keys.size(1);
  const int64_t head_dim = keys.size(2);
  const int64_t per_group = lanes.queries.size(1) / kv_heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  at::Tensor output = at::empty(lanes.queries.sizes(), lanes.queries.options());
  for (int64_t g = 0; g < kv_heads; ++g) {
    // [lanes, per_group, head_dim], float32
    const at::Tensor q =
        lanes.queries.narrow(1, g * per_group, per_group).to(at::kFloat) *
        scale;
    const at::Tensor own_key = lanes.keys.narrow(1, g, 1).to(at::kFloat);
    const at::Tensor own_value = lanes.values.narrow(1, g, 1).to(at::kFloat);
    const at::Tensor scores =  // [lanes, per_group, past]
        at::matmul(q, keys[g].to(at::kFloat).t())
            .masked_fill(SeenBy(lanes, g).logical_not().unsqueeze(1),
                         -std::numeric_limits<float>::infinity());
    const at::Tensor own_score = (q * own_key).sum(-1, /*keepdim=*/true);
    at::Tensor weights = at::softmax(at::cat({scores, own_score}, -1), -1);
    at::threshold_(weights, kLargestDenormal, 0);
    output.narrow(1, g * per_group, per_group)
        .copy_(at::matmul(weights.narrow(2, 0, past), values[g].to(at::kFloat))
                   .add_(weights.narrow(2, past, 1) * own_value));
  }
  return output;
}

PlainKvCache::PlainKvCache(const KvShape& shape,
                           const at::TensorOptions& options)
    : cache_(at::empty(
          {shape.layers, 2, shape.kv_heads, shape.capacity, shape.head_dim},
          options)) {}

at::Tensor PlainKvCache::Keys(int64_t layer, int64_t first,
                              int64_t count) const {
  return cache_[layer][0].narrow(1, first, count);
}

at::Tensor PlainKvCache::Values(int64_t layer, int64_t first,
                                int64_t count) const {
  return cache_[layer][1].narrow(1, first, count);
}

at::Tensor PlainKvCache::Slot(int64_t layer, int64_t position,
                              int64_t count) const {
  return cache_[layer].narrow(2, position, count);
}

namespace {

class AtenKvCache final : public PlainKvCache {
 public:
  using PlainKvCache::PlainKvCache;

  void Write(int64_t layer, int64_t position, const at::Tensor& keys,
             const at::Tensor& values) override {
    const at::Tensor slot = Slot(layer, position, keys.size(0));
    slot[0].copy_(keys.transpose(0, 1));
    slot[1].copy_(values.transpose(0, 1));
  }

  AttentionResult Attend(int64_t layer, int64_t positions,
                         const at::Tensor& queries,
                         const AttentionRequest& request) const override {
    return AttendWithAten(Keys(layer, 0, positions),
                          Values(layer, 0, positions), queries, request);
  }
};

}  // namespace

std::unique_ptr<KvCache> MakeAtenKvCache(const KvShape& shape,
                                         const at::TensorOptions& options) {
  return std::make_unique<AtenKvCache>(shape, options);
}

}  // namespace kvrecall
