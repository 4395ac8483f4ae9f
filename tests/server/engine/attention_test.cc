#include "server/engine/attention.h"

#include <algorithm>
#include <cmath>
#include <ostream>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "tests/reference/attention_reference.h"
#include "tests/server/engine/cache_makers.h"

namespace kvrecall {
namespace {

struct Shape {
  int64_t tq, n, query_heads, kv_heads, head_dim;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "Tq " << s.tq << ", N " << s.n << ", heads " << s.query_heads
             << "/" << s.kv_heads << ", size " << s.head_dim;
}

// Odd lengths on both sides of a block (256) and of a split (1024), groups of
// 1 to 8, head sizes 2 to 128.
constexpr Shape kShapes[] = {
    {1, 1, 1, 1, 2},     {1, 9, 4, 2, 8},       {5, 5, 2, 2, 4},
    {3, 17, 7, 1, 6},    {13, 29, 8, 4, 16},    {1, 255, 6, 2, 32},
    {1, 1025, 7, 1, 64}, {1, 2100, 10, 2, 80},  {1, 257, 8, 1, 128},
    {2, 257, 3, 1, 128}, {70, 256, 14, 2, 64},  {33, 300, 8, 8, 32},
    {41, 513, 8, 2, 96}, {113, 113, 5, 1, 112}, {129, 523, 12, 2, 128},
    {200, 777, 4, 4, 48}};

class AttentionTest : public ::testing::TestWithParam<CacheMaker> {
 protected:
  // Attention of queries over keys and values [kv_heads, N, head_dim] that a
  // fresh cache holds.
  AttentionResult Attend(const at::Tensor& queries, const at::Tensor& keys,
                         const at::Tensor& values,
                         const AttentionRequest& request) const {
    const int64_t n = keys.size(1);
    const std::unique_ptr<KvCache> cache =
        GetParam().make({1, keys.size(0), keys.size(2), n}, queries.options());
    cache->Write(0, 0, keys.transpose(0, 1).contiguous(),
                 values.transpose(0, 1).contiguous());
    return cache->Attend(0, n, queries, request);
  }

  void CompareWithTwin(const Shape& shape, at::ScalarType dtype,
                       double tolerance) const;
};

void AttentionTest::CompareWithTwin(const Shape& c, at::ScalarType dtype,
                                    double tolerance) const {
  at::manual_seed(7);
  const at::Tensor q =
      (at::randn({c.tq, c.query_heads, c.head_dim}) * 2).to(dtype);
  const at::Tensor k = at::randn({c.kv_heads, c.n, c.head_dim}).to(dtype);
  const at::Tensor v = at::randn({c.kv_heads, c.n, c.head_dim}).to(dtype);
  const int64_t from = c.tq / 2;
  at::Tensor all = at::zeros({c.kv_heads, c.n + 3}, at::kDouble);
  at::Tensor half = at::zeros({c.kv_heads, c.n}, at::kDouble);
  const at::Tensor first = at::full({c.kv_heads, c.n + 2}, -1.0f);
  const at::Tensor last = at::full({c.kv_heads, c.n}, -1.0f);
  const AttentionResult result = Attend(
      q, k, v, {{{0, first}, {c.tq - 1, last}}, {{0, all}, {from, half}}});

  const ReferenceAttention slow =
      AttendSlowly(Flat(q), Flat(k), Flat(v), c.tq, c.n, c.query_heads,
                   c.kv_heads, c.head_dim);
  const int64_t per_group = c.query_heads / c.kv_heads;
  at::Tensor slow_output =
      at::empty({c.tq, c.query_heads, c.head_dim}, at::kDouble);
  at::Tensor slow_weights =  // by group
      at::zeros({c.tq, c.kv_heads, c.n}, at::kDouble);
  auto out = slow_output.accessor<double, 3>();
  auto weights = slow_weights.accessor<double, 3>();
  for (int64_t i = 0; i < c.tq; ++i)
    for (int64_t h = 0; h < c.query_heads; ++h) {
      for (int64_t d = 0; d < c.head_dim; ++d)
        out[i][h][d] = slow.output[i][h][d];
      for (int64_t j = 0; j < c.n; ++j)
        weights[i][h / per_group][j] += slow.weights[h][i][j] / per_group;
    }
  EXPECT_LE(Distance(result.output, slow_output), tolerance);
  EXPECT_LE(Distance(first.narrow(1, 0, c.n), slow_weights[0]), tolerance);
  EXPECT_LE(Distance(last, slow_weights[c.tq - 1]), tolerance);
  EXPECT_LE(Distance(all.narrow(1, 0, c.n), slow_weights.sum(0)), tolerance);
  EXPECT_LE(Distance(half, slow_weights.narrow(0, from, c.tq - from).sum(0)),
            tolerance);
  EXPECT_EQ(all.narrow(1, c.n, 3).abs().max().item<double>(), 0);
  EXPECT_EQ(first.narrow(1, c.n, 2).max().item<float>(), -1);
  EXPECT_LE((last.sum(1) - 1).abs().max().item<float>(), 1e-5);

  const at::Tensor scores =
      at::matmul(q[c.tq - 1].to(at::kDouble).view({c.kv_heads, per_group, -1}),
                 k.to(at::kDouble).transpose(1, 2)) /
      std::sqrt(static_cast<double>(c.head_dim));
  EXPECT_LE(Distance(result.log_sum_exp.select(1, c.tq - 1),
                     at::logsumexp(scores, -1).flatten()),
            tolerance);
}

TEST_P(AttentionTest, EqualsTheSlowTwinInFloat32) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(::testing::Message() << shape);
    CompareWithTwin(shape, at::kFloat, 1e-5);
  }
}

TEST_P(AttentionTest, EqualsTheSlowTwinInBfloat16) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(::testing::Message() << shape);
    CompareWithTwin(shape, at::kBFloat16, 1e-2);
  }
}

TEST_P(AttentionTest, GivesBackWhatWasWritten) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const std::unique_ptr<KvCache> cache =
        GetParam().make({2, 3, 6, 300}, at::TensorOptions().dtype(dtype));
    const at::Tensor k = at::randn({290, 3, 6}).to(dtype);
    const at::Tensor v = at::randn({290, 3, 6}).to(dtype);
    cache->Write(1, 0, k.narrow(0, 0, 17), v.narrow(0, 0, 17));
    cache->Write(1, 17, k.narrow(0, 17, 1), v.narrow(0, 17, 1));
    cache->Write(1, 18, k.narrow(0, 18, 272), v.narrow(0, 18, 272));
    EXPECT_TRUE(at::equal(cache->Keys(1, 0, 290), k.transpose(0, 1)));
    EXPECT_TRUE(at::equal(cache->Values(1, 0, 290), v.transpose(0, 1)));
    EXPECT_TRUE(
        at::equal(cache->Keys(1, 13, 21), k.narrow(0, 13, 21).transpose(0, 1)));
    EXPECT_TRUE(at::equal(cache->Values(1, 13, 21),
                          v.narrow(0, 13, 21).transpose(0, 1)));
    EXPECT_EQ(cache->Keys(1, 290, 0).size(1), 0);
  }
}

// Keys far from the origin, as Qwen2's biases make them, and rows so peaked
// that most weights vanish.
TEST_P(AttentionTest, LargeScoresNeitherOverflowNorLoseTheRow) {
  at::manual_seed(11);
  const at::Tensor q = at::randn({40, 2, 32}) * 30 + 20;
  const at::Tensor k = at::randn({1, 600, 32}) * 10 + 40;
  const at::Tensor v = at::randn({1, 600, 32});
  const at::Tensor sums = at::zeros({1, 600}, at::kDouble);
  const at::Tensor row = at::empty({1, 600});
  const AttentionResult result = Attend(q, k, v, {{{39, row}}, {{0, sums}}});
  EXPECT_TRUE(result.output.isfinite().all().item<bool>());
  EXPECT_NEAR(row.sum().item<float>(), 1, 1e-5);
  EXPECT_NEAR(sums.sum().item<double>(), 40, 1e-4);
}

// A query sees the positions up to its own, counted from the end: the mask is
// aligned to the bottom right.
TEST_P(AttentionTest, ALaterPositionNeverHasWeight) {
  at::manual_seed(1);
  const at::Tensor q = at::randn({4, 2, 4});
  const at::Tensor k = at::randn({1, 10, 4}), v = at::randn({1, 10, 4});
  for (int64_t i = 0; i < 4; ++i) {
    const at::Tensor row = at::empty({1, 10});
    Attend(q, k, v, {{{i, row}}, {}});
    for (int64_t j = 0; j < 10; ++j)
      EXPECT_EQ(row[0][j].item<float>() > 0, j <= 6 + i) << i << " " << j;
  }
}

TEST_P(AttentionTest, WeightsBelowTheSmallestNormalFloatCountAsZero) {
  // Scores 0 and −90: exp(−90) is denormal in float32.
  const at::Tensor q = at::ones({1, 1, 1});
  const at::Tensor k = at::tensor({0.0f, -90.0f, -80.0f}).view({1, 3, 1});
  const at::Tensor row = at::empty({1, 3});
  Attend(q, k, at::ones({1, 3, 1}), {{{0, row}}, {}});
  EXPECT_EQ(row[0][1].item<float>(), 0);
  EXPECT_GT(row[0][2].item<float>(), 0);
}

// The same queries, fed in chunks of any size, add up to the same sums.
TEST_P(AttentionTest, ChunkSizeChangesNothing) {
  constexpr int64_t kN = 300;
  at::manual_seed(3);
  const at::Tensor q = at::randn({kN, 8, 16}) * 2;
  const at::Tensor k = at::randn({2, kN, 16}), v = at::randn({2, kN, 16});
  const auto sums_in_chunks = [&](int64_t chunk) {
    at::Tensor sums = at::zeros({2, kN}, at::kDouble);
    for (int64_t begin = 0; begin < kN; begin += chunk) {
      const int64_t count = std::min(chunk, kN - begin);
      Attend(q.narrow(0, begin, count), k.narrow(1, 0, begin + count),
             v.narrow(1, 0, begin + count), {{}, {{0, sums}}});
    }
    return sums;
  };
  const at::Tensor whole = sums_in_chunks(kN);
  for (int64_t chunk : {1, 7, 64, 299})
    EXPECT_LE(
        ((sums_in_chunks(chunk) - whole).abs() / whole).max().item<double>(),
        1e-6)
        << chunk;
}

TEST_P(AttentionTest, SumsDoNotStallOverTenThousandPositions) {
  // Zero queries: every row is uniform, so column 0 gathers Σ 1/(i + 1), and
  // 10 000 small terms arrive on top of a large sum. In bfloat16 it would
  // stall at a fraction of that.
  constexpr int64_t kN = 10000, kChunk = 500;
  const at::Tensor k = at::zeros({1, kN, 2}), v = at::zeros({1, kN, 2});
  at::Tensor sums = at::full({1, kN}, 256.0, at::kDouble);
  for (int64_t begin = 0; begin < kN; begin += kChunk)
    Attend(at::zeros({kChunk, 1, 2}), k.narrow(1, 0, begin + kChunk),
           v.narrow(1, 0, begin + kChunk), {{}, {{0, sums}}});
  double harmonic = 256;
  for (int64_t i = 1; i <= kN; ++i) harmonic += 1.0 / i;
  EXPECT_NEAR(sums[0][0].item<double>(), harmonic, 1e-5);
  EXPECT_NEAR(sums[0][kN - 1].item<double>(), 256 + 1e-4, 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTest,
                         ::testing::ValuesIn(CacheMakers()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvrecall
