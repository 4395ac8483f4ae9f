// Lanes of one position, each with its own view of the past, and products of
// keys: against loops in float64, for every kernel set.

#include <cmath>
#include <memory>
#include <ostream>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/engine/attention.h"
#include "tests/server/engine/cache_makers.h"

namespace kvrecall {
namespace {

struct MaskedShape {
  int64_t lanes, past, query_heads, kv_heads, head_dim;
};

std::ostream& operator<<(std::ostream& out, const MaskedShape& s) {
  return out << s.lanes << " lanes, past " << s.past << ", heads "
             << s.query_heads << "/" << s.kv_heads << ", size " << s.head_dim;
}

// Odd lengths on both sides of a block (256) and of a range (1024), past = 0,
// groups of 1 to 8, head sizes 32 to 128 and odd ones.
constexpr MaskedShape kShapes[] = {
    {1, 0, 1, 1, 32},     {3, 0, 8, 2, 64},    {2, 1, 2, 2, 32},
    {6, 15, 14, 2, 64},   {4, 16, 3, 1, 48},   {5, 255, 6, 2, 32},
    {3, 256, 8, 1, 128},  {2, 257, 10, 2, 80}, {7, 511, 4, 4, 64},
    {1, 700, 12, 3, 112}, {6, 1023, 7, 1, 64}, {2, 1024, 5, 1, 96},
    {3, 1300, 8, 1, 40},  {9, 2049, 6, 1, 32}, {2, 300, 4, 2, 7}};

// One layer's past and the lanes that look at it.
struct Case {
  MaskedShape shape;
  at::Tensor past_keys, past_values;  // [past + 1, kv_heads, head_dim]
  LaneQueries lanes;
};

at::Tensor Draw(std::vector<int64_t> shape, at::ScalarType dtype) {
  return at::randn(shape).to(dtype);
}

// Everything, nothing, all but the first block, a random half, a tenth, only
// the last position: in turn, so that neighbours in a tile differ. Every other
// mask is one for all heads.
at::Tensor Mask(int64_t lane, int64_t kv_heads, int64_t past) {
  const int64_t rows = lane % 2 == 0 ? kv_heads : 1;
  const at::Tensor mask = at::zeros({rows, past}, at::kByte);
  switch (lane % 6) {
    case 0:
      return mask.fill_(1);
    case 1:
      return mask;
    case 2:
      if (past > 256) mask.narrow(1, 256, past - 256).fill_(1);
      return mask;
    case 3:
      return at::rand({rows, past}).lt(0.5).to(at::kByte);
    case 4:
      return at::rand({rows, past}).lt(0.1).to(at::kByte);
    default:
      if (past > 0) mask.narrow(1, past - 1, 1).fill_(1);
      return mask;
  }
}

Case MakeCase(const MaskedShape& s, at::ScalarType dtype) {
  Case c;
  c.shape = s;
  c.past_keys = Draw({s.past + 1, s.kv_heads, s.head_dim}, dtype);
  c.past_values = Draw({s.past + 1, s.kv_heads, s.head_dim}, dtype);
  // Parts of a joined projection, as in use.
  const at::Tensor joined =
      Draw({s.lanes, s.query_heads + 2 * s.kv_heads, s.head_dim}, dtype);
  c.lanes.queries = joined.narrow(1, 0, s.query_heads).mul_(2);
  c.lanes.keys = joined.narrow(1, s.query_heads, s.kv_heads);
  c.lanes.values = joined.narrow(1, s.query_heads + s.kv_heads, s.kv_heads);
  for (int64_t lane = 0; lane < s.lanes; ++lane)
    c.lanes.visible.push_back(Mask(lane, s.kv_heads, s.past));
  return c;
}

// One query head after another, one position at a time.
at::Tensor AttendSlowly(const Case& c) {
  const MaskedShape& s = c.shape;
  const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
  const at::Tensor queries = wide(c.lanes.queries), keys = wide(c.past_keys),
                   values = wide(c.past_values), own_keys = wide(c.lanes.keys),
                   own_values = wide(c.lanes.values);
  const auto q = queries.accessor<double, 3>();
  const auto k = keys.accessor<double, 3>(), v = values.accessor<double, 3>();
  const auto own_k = own_keys.accessor<double, 3>(),
             own_v = own_values.accessor<double, 3>();
  at::Tensor output =
      at::zeros({s.lanes, s.query_heads, s.head_dim}, at::kDouble);
  auto out = output.accessor<double, 3>();
  for (int64_t i = 0; i < s.lanes; ++i) {
    const auto sees = c.lanes.visible[i].accessor<uint8_t, 2>();
    for (int64_t h = 0; h < s.query_heads; ++h) {
      const int64_t g = h / (s.query_heads / s.kv_heads);
      const int64_t row = sees.size(0) == 1 ? 0 : g;
      double total = 0;
      for (int64_t j = 0; j <= s.past; ++j) {
        const bool own = j == s.past;
        if (!own && sees[row][j] == 0) continue;
        double score = 0;
        for (int64_t d = 0; d < s.head_dim; ++d)
          score += q[i][h][d] * (own ? own_k[i][g][d] : k[j][g][d]);
        const double weight =
            std::exp(score / std::sqrt(static_cast<double>(s.head_dim)));
        total += weight;
        for (int64_t d = 0; d < s.head_dim; ++d)
          out[i][h][d] += weight * (own ? own_v[i][g][d] : v[j][g][d]);
      }
      for (int64_t d = 0; d < s.head_dim; ++d) out[i][h][d] /= total;
    }
  }
  return output;
}

// A cache whose second layer holds the case's past, and behind it what the
// oracle wrote for the lanes' position.
std::unique_ptr<KvCache> CacheOf(const CacheMaker& maker, const Case& c) {
  const MaskedShape& s = c.shape;
  std::unique_ptr<KvCache> cache = maker.make(
      {2, s.kv_heads, s.head_dim, s.past + 1}, c.past_keys.options());
  cache->Write(1, 0, c.past_keys, c.past_values);
  return cache;
}

class MaskedAttentionTest : public ::testing::TestWithParam<CacheMaker> {
 protected:
  std::unique_ptr<KvCache> Cache(const Case& c) const {
    return CacheOf(GetParam(), c);
  }
  at::Tensor Attend(const Case& c) const {
    return Cache(c)->AttendMasked(1, c.shape.past, c.lanes);
  }
};

// The twin is asked once for all kernels: it is slow.
TEST(MaskedAttentionTwinTest, EveryKernelEqualsIt) {
  at::manual_seed(21);
  for (const auto& [dtype, tolerance] :
       {std::pair(at::kFloat, 1e-5), std::pair(at::kBFloat16, 1e-2)})
    for (const MaskedShape& shape : kShapes) {
      const Case c = MakeCase(shape, dtype);
      const at::Tensor want = AttendSlowly(c);
      for (const CacheMaker& maker : CacheMakers()) {
        SCOPED_TRACE(::testing::Message()
                     << maker.name << ", " << dtype << ", " << shape);
        const at::Tensor output =
            CacheOf(maker, c)->AttendMasked(1, shape.past, c.lanes);
        EXPECT_EQ(output.scalar_type(), dtype);
        EXPECT_LE(Distance(output, want), tolerance);
      }
    }
}

TEST_P(MaskedAttentionTest, ALaneThatSeesNothingHasItsOwnValue) {
  at::manual_seed(22);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const int64_t past : {0, 5, 255, 256, 1500}) {
      Case c = MakeCase({3, past, 6, 2, 64}, dtype);
      for (at::Tensor& mask : c.lanes.visible)
        mask = at::zeros({1, past}, at::kByte);
      EXPECT_LE(
          Distance(
              Attend(c),
              c.lanes.values.repeat_interleave(3, /*dim=*/1).to(at::kDouble)),
          1e-6);
    }
}

// Positions with by far the highest scores, hidden: their weights are exactly
// 0, whatever stands there, and so is the weight of what the cache holds for
// the lanes' own position.
TEST_P(MaskedAttentionTest, WhatIsHiddenPlaysNoPart) {
  at::manual_seed(23);
  Case c = MakeCase({4, 600, 8, 2, 32}, at::kFloat);
  for (at::Tensor& mask : c.lanes.visible) {
    mask = at::ones({2, 600}, at::kByte);
    mask.narrow(1, 100, 200).zero_();
  }
  const at::Tensor output = Attend(c);
  c.past_keys.narrow(0, 100, 200).mul_(1000);
  c.past_values.narrow(0, 100, 200).fill_(1e30);
  c.past_keys[600].mul_(1000);
  c.past_values[600].fill_(1e30);
  EXPECT_TRUE(at::equal(Attend(c), output));
}

TEST_P(MaskedAttentionTest, WhateverIsNotZeroIsSeen) {
  at::manual_seed(27);
  for (const int64_t past : {1, 13, 16, 300}) {
    Case c = MakeCase({6, past, 8, 2, 32}, at::kFloat);
    const at::Tensor output = Attend(c);
    for (at::Tensor& mask : c.lanes.visible)
      mask = mask * at::randint(1, 256, mask.sizes(), at::kByte);
    EXPECT_TRUE(at::equal(Attend(c), output)) << past;
  }
}

TEST_P(MaskedAttentionTest, LanesDoNotDependOnTheThreads) {
  if (GetParam().name == "aten") GTEST_SKIP() << "libtorch's own products";
  at::manual_seed(28);
  const Case c = MakeCase({5, 2600, 9, 3, 40}, at::kBFloat16);
  const at::Tensor one = [&] {
    const ThreadCount threads(1);
    return Attend(c);
  }();
  for (const int count : {2, 3, 5}) {
    const ThreadCount threads(count);
    EXPECT_TRUE(at::equal(Attend(c), one)) << count;
  }
}

TEST_P(MaskedAttentionTest, ALanesNeighboursChangeNoBitOfIt) {
  at::manual_seed(24);
  const Case c = MakeCase({8, 1100, 14, 2, 64}, at::kBFloat16);
  const at::Tensor together = Attend(c);
  for (int64_t lane = 0; lane < 8; ++lane) {
    Case alone = c;
    alone.lanes = {c.lanes.queries.narrow(0, lane, 1),
                   c.lanes.keys.narrow(0, lane, 1),
                   c.lanes.values.narrow(0, lane, 1),
                   {c.lanes.visible[lane]}};
    const double distance =
        Distance(Attend(alone)[0], together[lane].to(at::kDouble));
    if (GetParam().name == "aten")  // its products choose their own order
      EXPECT_LE(distance, 1e-2);
    else
      EXPECT_EQ(distance, 0);
  }
}

// The query whose key and value are in the cache, asked both ways.
TEST_P(MaskedAttentionTest, ALaneThatSeesAllEqualsTheSingleQuery) {
  at::manual_seed(25);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const int64_t past : {0, 31, 255, 256, 1024, 2600}) {
      SCOPED_TRACE(past);
      Case c = MakeCase({2, past, 14, 2, 64}, dtype);
      c.lanes.visible[0] = at::ones({1, past}, at::kByte);
      c.past_keys[past].copy_(c.lanes.keys[0]);
      c.past_values[past].copy_(c.lanes.values[0]);
      const at::Tensor one =
          Cache(c)
              ->Attend(1, past + 1, c.lanes.queries.narrow(0, 0, 1), {})
              .output[0];
      const at::Tensor lane = Attend(c)[0];
      if (GetParam().name == "aten")
        EXPECT_LE(Distance(lane, one.to(at::kDouble)),
                  dtype == at::kFloat ? 1e-5 : 1e-2);
      else
        EXPECT_TRUE(at::equal(lane, one));
    }
}

TEST_P(MaskedAttentionTest, KeyProductsEqualTheSlowTwin) {
  at::manual_seed(26);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const int64_t head_dim : {2, 7, 32, 64, 80, 128})
      for (const int64_t positions : {0, 1, 15, 16, 17, 300}) {
        SCOPED_TRACE(::testing::Message()
                     << dtype << ", size " << head_dim << ", N " << positions);
        constexpr int64_t kLayers = 3, kHeads = 2;
        const std::unique_ptr<KvCache> cache = GetParam().make(
            {kLayers, kHeads, head_dim, 310}, at::TensorOptions().dtype(dtype));
        at::Tensor keys =
            Draw({kLayers, 305, kHeads, head_dim}, dtype);  // more than asked
        for (int64_t l = 0; l < kLayers; ++l)
          cache->Write(l, 0, keys[l], keys[l]);
        const at::Tensor directions = at::randn({kLayers, kHeads, head_dim});
        const at::Tensor products = cache->KeyProducts(directions, positions);
        const at::Tensor want = (keys.narrow(1, 0, positions).to(at::kDouble) *
                                 directions.to(at::kDouble).unsqueeze(1))
                                    .sum(-1)
                                    .transpose(1, 2);
        ASSERT_EQ(products.sizes(), want.sizes());
        EXPECT_EQ(products.scalar_type(), at::kFloat);
        // Float32 sums of exact keys with a direction that is not rounded.
        if (positions > 0) {
          EXPECT_LE(Distance(products, want), 1e-6);
        }
      }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MaskedAttentionTest,
                         ::testing::ValuesIn(CacheMakers()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvrecall
