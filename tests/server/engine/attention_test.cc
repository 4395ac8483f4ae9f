#include "server/engine/attention.h"

#include <algorithm>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "tests/reference/attention_reference.h"

namespace kvrecall {
namespace {

std::vector<float> Flat(const at::Tensor& t) {
  const at::Tensor c = t.contiguous();
  return {c.data_ptr<float>(), c.data_ptr<float>() + c.numel()};
}

// Attention of queries over keys and values [kv_heads, N, head_dim] that a
// fresh cache holds.
AttentionResult Attend(const at::Tensor& queries, const at::Tensor& keys,
                       const at::Tensor& values,
                       const AttentionRequest& request) {
  const int64_t n = keys.size(1);
  const std::unique_ptr<KvCache> cache =
      MakeKvCache({1, keys.size(0), keys.size(2), n}, queries.options());
  cache->Write(0, 0, keys.transpose(0, 1), values.transpose(0, 1));
  return cache->Attend(0, n, queries, request);
}

struct Case {
  int64_t tq, n, query_heads, kv_heads, head_dim;
};

class AttentionTest : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionTest, EqualsTheSlowTwin) {
  const Case c = GetParam();
  at::manual_seed(7);
  const at::Tensor q = at::randn({c.tq, c.query_heads, c.head_dim}) * 3;
  const at::Tensor k = at::randn({c.kv_heads, c.n, c.head_dim});
  const at::Tensor v = at::randn({c.kv_heads, c.n, c.head_dim});
  const int64_t from = c.tq / 2;
  at::Tensor all = at::zeros({c.kv_heads, c.n + 3}, at::kDouble);
  at::Tensor half = at::zeros({c.kv_heads, c.n}, at::kDouble);
  std::vector<at::Tensor> rows;
  for (int i = 0; i < 2; ++i)
    rows.push_back(at::full({c.kv_heads, c.n}, -1.0f));
  const AttentionResult result = Attend(
      q, k, v, {{{0, rows[0]}, {c.tq - 1, rows[1]}}, {{0, all}, {from, half}}});
  const ReferenceAttention slow =
      AttendSlowly(Flat(q), Flat(k), Flat(v), c.tq, c.n, c.query_heads,
                   c.kv_heads, c.head_dim);

  for (int64_t i = 0; i < c.tq; ++i)
    for (int64_t h = 0; h < c.query_heads; ++h)
      for (int64_t d = 0; d < c.head_dim; ++d)
        ASSERT_NEAR(result.output[i][h][d].item<float>(), slow.output[i][h][d],
                    1e-5);
  const int64_t per_group = c.query_heads / c.kv_heads;
  for (int64_t g = 0; g < c.kv_heads; ++g) {
    for (size_t r = 0; r < 2; ++r)
      EXPECT_NEAR(rows[r][g].sum().item<float>(), 1, 1e-5);
    for (int64_t j = 0; j < c.n; ++j) {
      double sum_all = 0, sum_half = 0, first = 0, last = 0;
      for (int64_t h = g * per_group; h < (g + 1) * per_group; ++h) {
        for (int64_t i = 0; i < c.tq; ++i) {
          sum_all += slow.weights[h][i][j] / per_group;
          if (i >= from) sum_half += slow.weights[h][i][j] / per_group;
        }
        first += slow.weights[h][0][j] / per_group;
        last += slow.weights[h][c.tq - 1][j] / per_group;
      }
      ASSERT_NEAR(all[g][j].item<double>(), sum_all, 1e-5);
      ASSERT_NEAR(half[g][j].item<double>(), sum_half, 1e-5);
      ASSERT_NEAR(rows[0][g][j].item<float>(), first, 1e-6);
      ASSERT_NEAR(rows[1][g][j].item<float>(), last, 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         ::testing::Values(Case{1, 1, 1, 1, 2},
                                           Case{1, 9, 4, 2, 8},
                                           Case{5, 5, 2, 2, 4},
                                           Case{3, 17, 7, 1, 6},
                                           Case{13, 29, 8, 4, 16}));

// A query sees the positions up to its own, counted from the end: the mask is
// aligned to the bottom right.
TEST(AttentionMaskTest, ALaterPositionNeverHasWeight) {
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

TEST(AttentionMaskTest, WeightsBelowTheSmallestNormalFloatCountAsZero) {
  // Scores 0 and −90: exp(−90) is denormal in float32.
  const at::Tensor q = at::ones({1, 1, 1});
  const at::Tensor k = at::tensor({0.0f, -90.0f, -80.0f}).view({1, 3, 1});
  const at::Tensor row = at::empty({1, 3});
  Attend(q, k, at::ones({1, 3, 1}), {{{0, row}}, {}});
  EXPECT_EQ(row[0][1].item<float>(), 0);
  EXPECT_GT(row[0][2].item<float>(), 0);
}

// The same queries, fed in chunks of any size, add up to the same sums.
TEST(AttentionSumsTest, ChunkSizeChangesNothing) {
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

TEST(AttentionSumsTest, SumsDoNotStallOverTenThousandPositions) {
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

}  // namespace
}  // namespace kvrecall
