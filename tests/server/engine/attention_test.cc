#include "server/engine/attention.h"

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <utility>
#include <vector>

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

// Of a weight, or a sum of weights, against its own value: what scores in
// float32 leave.
constexpr double kWeightTolerance = 3e-5;

// Attention of queries over keys and values [kv_heads, N, head_dim] that a
// fresh cache holds.
AttentionResult AttendWith(const CacheMaker& maker, const at::Tensor& queries,
                           const at::Tensor& keys, const at::Tensor& values,
                           const AttentionRequest& request) {
  const int64_t n = keys.size(1);
  const std::unique_ptr<KvCache> cache =
      maker.make({1, keys.size(0), keys.size(2), n}, queries.options());
  cache->Write(0, 0, keys.transpose(0, 1).contiguous(),
               values.transpose(0, 1).contiguous());
  return cache->Attend(0, n, queries, request);
}

class AttentionTest : public ::testing::TestWithParam<CacheMaker> {
 protected:
  AttentionResult Attend(const at::Tensor& queries, const at::Tensor& keys,
                         const at::Tensor& values,
                         const AttentionRequest& request) const {
    return AttendWith(GetParam(), queries, keys, values, request);
  }
};

// What the slow twin gives, in float64.
struct Twin {
  at::Tensor output;       // [Tq, query_heads, head_dim]
  at::Tensor weights;      // [Tq, kv_heads, N]
  at::Tensor log_sum_exp;  // [query_heads], of the last query
};

Twin AskTheTwin(const Shape& c, const at::Tensor& q, const at::Tensor& k,
                const at::Tensor& v) {
  const ReferenceAttention slow =
      AttendSlowly(Flat(q), Flat(k), Flat(v), c.tq, c.n, c.query_heads,
                   c.kv_heads, c.head_dim);
  const int64_t per_group = c.query_heads / c.kv_heads;
  Twin twin;
  twin.output = at::empty({c.tq, c.query_heads, c.head_dim}, at::kDouble);
  twin.weights = at::zeros({c.tq, c.kv_heads, c.n}, at::kDouble);
  auto out = twin.output.accessor<double, 3>();
  auto weights = twin.weights.accessor<double, 3>();
  for (int64_t i = 0; i < c.tq; ++i)
    for (int64_t h = 0; h < c.query_heads; ++h) {
      for (int64_t d = 0; d < c.head_dim; ++d)
        out[i][h][d] = slow.output[i][h][d];
      for (int64_t j = 0; j < c.n; ++j)
        weights[i][h / per_group][j] += slow.weights[h][i][j] / per_group;
    }
  const at::Tensor scores =
      at::matmul(q[c.tq - 1].to(at::kDouble).view({c.kv_heads, per_group, -1}),
                 k.to(at::kDouble).transpose(1, 2)) /
      std::sqrt(static_cast<double>(c.head_dim));
  twin.log_sum_exp = at::logsumexp(scores, -1).flatten();
  return twin;
}

void CompareWithTwin(const CacheMaker& maker, const Shape& c,
                     const at::Tensor& q, const at::Tensor& k,
                     const at::Tensor& v, const Twin& twin, double tolerance) {
  const int64_t from = c.tq / 2;
  at::Tensor all = at::zeros({c.kv_heads, c.n + 3}, at::kDouble);
  at::Tensor half = at::zeros({c.kv_heads, c.n}, at::kDouble);
  const at::Tensor first = at::full({c.kv_heads, c.n + 2}, -1.0f);
  const at::Tensor last = at::full({c.kv_heads, c.n}, -1.0f);
  const AttentionResult result =
      AttendWith(maker, q, k, v,
                 {{{0, first}, {c.tq - 1, last}}, {{0, all}, {from, half}}});
  const at::Tensor& slow_weights = twin.weights;
  EXPECT_LE(Distance(result.output, twin.output), tolerance);
  EXPECT_LE(Distance(first.narrow(1, 0, c.n), slow_weights[0]), tolerance);
  EXPECT_LE(Distance(last, slow_weights[c.tq - 1]), tolerance);
  EXPECT_LE(Distance(all.narrow(1, 0, c.n), slow_weights.sum(0)), tolerance);
  EXPECT_LE(Distance(half, slow_weights.narrow(0, from, c.tq - from).sum(0)),
            tolerance);
  // Keys and queries are multiplied exactly and weighed in float32, whatever
  // the dtype.
  EXPECT_LE(RelativeDistance(last, slow_weights[c.tq - 1]), kWeightTolerance);
  EXPECT_LE(RelativeDistance(all.narrow(1, 0, c.n), slow_weights.sum(0)),
            kWeightTolerance);
  EXPECT_EQ(all.narrow(1, c.n, 3).abs().max().item<double>(), 0);
  EXPECT_EQ(first.narrow(1, c.n, 2).max().item<float>(), -1);
  EXPECT_LE((last.sum(1) - 1).abs().max().item<float>(), 1e-5);
  EXPECT_LE(Distance(result.log_sum_exp.select(1, c.tq - 1), twin.log_sum_exp),
            tolerance);
}

// The twin is asked once for all kernels: it is slow.
TEST(AttentionTwinTest, EveryKernelEqualsIt) {
  at::manual_seed(7);
  for (const auto& [dtype, tolerance] :
       {std::pair(at::kFloat, 1e-5), std::pair(at::kBFloat16, 1e-2)})
    for (const Shape& c : kShapes) {
      const at::Tensor q =
          (at::randn({c.tq, c.query_heads, c.head_dim}) * 2).to(dtype);
      const at::Tensor k = at::randn({c.kv_heads, c.n, c.head_dim}).to(dtype);
      const at::Tensor v = at::randn({c.kv_heads, c.n, c.head_dim}).to(dtype);
      const Twin twin = AskTheTwin(c, q, k, v);
      for (const CacheMaker& maker : CacheMakers()) {
        SCOPED_TRACE(::testing::Message()
                     << maker.name << ", " << dtype << ", " << c);
        CompareWithTwin(maker, c, q, k, v, twin, tolerance);
      }
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

// Not a head's part of its group's mean.
TEST_P(AttentionTest, AHeadsWeightIsWhatCountsAsZero) {
  // 2⁻¹²⁶ is exp(−87.34).
  const at::Tensor k = at::tensor({0.0f, -87.0f, -87.6f}).view({1, 3, 1});
  for (const int64_t tq : {1, 3}) {
    const at::Tensor q = at::ones({tq, 8, 1});
    const at::Tensor row = at::empty({1, 3});
    const at::Tensor sums = at::zeros({1, 3}, at::kDouble);
    Attend(q, k, at::ones({1, 3, 1}), {{{tq - 1, row}}, {{tq - 1, sums}}});
    for (const at::Tensor& weights : {row.to(at::kDouble), sums}) {
      EXPECT_NEAR(weights[0][1].item<double>() / std::exp(-87.0), 1, 1e-4);
      EXPECT_EQ(weights[0][2].item<double>(), 0);
    }
  }
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

// ---- Chunks ---------------------------------------------------------------

struct Text {
  int64_t n, query_heads, kv_heads, head_dim;
};

std::ostream& operator<<(std::ostream& out, const Text& t) {
  return out << "N " << t.n << ", heads " << t.query_heads << "/" << t.kv_heads
             << ", size " << t.head_dim;
}

// Groups of 1 to 8, head sizes 32 to 128, some of which fill no vector, and
// lengths that fill no block.
constexpr Text kTexts[] = {{1093, 2, 2, 32}, {1301, 4, 2, 40}, {555, 6, 2, 72},
                           {1031, 4, 1, 64}, {531, 5, 1, 100}, {307, 6, 1, 128},
                           {1290, 7, 1, 64}, {521, 16, 2, 96}};
// Queries that a window's sums are over.
constexpr int64_t kWindow = 31;

// Queries, keys and values [n, heads, head_dim] of a text, and its attention
// in float64, by the formula.
struct ExactText {
  at::Tensor q, k, v;
  at::Tensor output;       // [n, query_heads, head_dim]
  at::Tensor log_sum_exp;  // [query_heads, n]
  at::Tensor rows;         // [kv_heads, query, position]
};

ExactText MakeText(const Text& t, at::ScalarType dtype) {
  ExactText exact;
  exact.q = (at::randn({t.n, t.query_heads, t.head_dim}) * 2).to(dtype);
  exact.k = at::randn({t.n, t.kv_heads, t.head_dim}).to(dtype);
  exact.v = at::randn({t.n, t.kv_heads, t.head_dim}).to(dtype);
  const int64_t per_group = t.query_heads / t.kv_heads;
  // [query_heads, n, head_dim]; each KV head once for each of its group.
  const auto by_head = [&](const at::Tensor& x) {
    return x.to(at::kDouble)
        .repeat_interleave(t.query_heads / x.size(1), /*dim=*/1)
        .transpose(0, 1);
  };
  const at::Tensor scores =
      (at::matmul(by_head(exact.q), by_head(exact.k).transpose(1, 2)) /
       std::sqrt(static_cast<double>(t.head_dim)))
          .masked_fill_(at::ones({t.n, t.n}, at::kBool).triu(1), -INFINITY);
  exact.log_sum_exp = at::logsumexp(scores, -1);
  const at::Tensor weights = at::softmax(scores, -1);
  exact.output = at::matmul(weights, by_head(exact.v)).transpose(0, 1);
  exact.rows = weights.view({t.kv_heads, per_group, t.n, t.n}).mean(1);
  return exact;
}

// 0, n, and between them what a seed gives; one chunk is a single query.
std::vector<int64_t> RandomCuts(int64_t n, std::mt19937& random) {
  std::vector<int64_t> cuts = {0, n};
  for (int i = 0; i < 6; ++i)
    cuts.push_back(1 + static_cast<int64_t>(random() % (n - 2)));
  cuts.push_back(cuts.back() + 1);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

// Feeds one cache chunk by chunk, as a prefill does.
void CompareChunks(const CacheMaker& maker, const ExactText& exact,
                   const std::vector<int64_t>& cuts, double tolerance) {
  const int64_t n = exact.k.size(0), kv_heads = exact.k.size(1);
  const std::unique_ptr<KvCache> cache =
      maker.make({1, kv_heads, exact.k.size(2), n}, exact.k.options());
  at::Tensor sums = at::zeros({kv_heads, n}, at::kDouble);
  at::Tensor window = at::zeros({kv_heads, n}, at::kDouble);
  std::vector<at::Tensor> outputs, log_sum_exps;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const int64_t begin = cuts[i], end = cuts[i + 1], count = end - begin;
    SCOPED_TRACE(::testing::Message() << begin << " … " << end);
    cache->Write(0, begin, exact.k.narrow(0, begin, count),
                 exact.v.narrow(0, begin, count));
    const at::Tensor first = at::empty({kv_heads, end});
    const at::Tensor last = at::empty({kv_heads, end});
    const AttentionResult result = cache->Attend(
        0, end, exact.q.narrow(0, begin, count),
        {{{0, first}, {count - 1, last}},
         {{0, sums}, {std::max<int64_t>(n - kWindow - begin, 0), window}}});
    outputs.push_back(result.output);
    log_sum_exps.push_back(result.log_sum_exp);
    for (const auto& [row, query] :
         {std::pair(first, begin), std::pair(last, end - 1)})
      EXPECT_LE(
          RelativeDistance(row, exact.rows.select(1, query).narrow(1, 0, end)),
          kWeightTolerance);
  }
  EXPECT_LE(Distance(at::cat(outputs), exact.output), tolerance);
  EXPECT_LE(Distance(at::cat(log_sum_exps, 1), exact.log_sum_exp), tolerance);
  EXPECT_LE(RelativeDistance(sums, exact.rows.sum(1)), kWeightTolerance);
  // Columns that no query of the window sees are exactly 0: none, here.
  EXPECT_LE(RelativeDistance(window,
                             exact.rows.narrow(1, n - kWindow, kWindow).sum(1)),
            kWeightTolerance);
}

TEST(ChunksTest, CutAtAnyPointEqualTheFormula) {
  at::manual_seed(3);
  std::mt19937 random(3);
  for (const auto& [dtype, tolerance] :
       {std::pair(at::kFloat, 1e-5), std::pair(at::kBFloat16, 1e-2)})
    for (const Text& text : kTexts) {
      const ExactText exact = MakeText(text, dtype);
      for (const CacheMaker& maker : CacheMakers()) {
        SCOPED_TRACE(::testing::Message()
                     << maker.name << ", " << dtype << ", " << text);
        CompareChunks(maker, exact, RandomCuts(text.n, random), tolerance);
      }
    }
}

// ---- Threads --------------------------------------------------------------

// What a call gives with a number of threads: output, log_sum_exp, row, sums.
// The cache has room for so much that threads share what tiles may keep.
std::vector<at::Tensor> WithThreads(int threads, const CacheMaker& maker,
                                    const ExactText& exact, int64_t tq) {
  const ThreadCount count(threads);
  const int64_t n = exact.k.size(0), kv_heads = exact.k.size(1);
  const std::unique_ptr<KvCache> cache =
      maker.make({1, kv_heads, exact.k.size(2), 100000}, exact.k.options());
  cache->Write(0, 0, exact.k, exact.v);
  const at::Tensor row = at::empty({kv_heads, n});
  const at::Tensor sums = at::zeros({kv_heads, n}, at::kDouble);
  const AttentionResult result = cache->Attend(
      0, n, exact.q.narrow(0, n - tq, tq), {{{tq - 1, row}}, {{0, sums}}});
  return {result.output, result.log_sum_exp, row, sums};
}

// A single query's results are the same bits with any number of threads. So are
// many queries', but for the sums, which are float32 within a tile and added
// by thread beyond.
TEST(ThreadsTest, ChangeNothingButTheOrderOfSums) {
  at::manual_seed(5);
  double worst = 0;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const ExactText exact = MakeText({1100, 6, 3, 32}, dtype);
    for (const CacheMaker& maker : CacheMakers()) {
      if (maker.name == "aten") continue;  // libtorch's own products
      for (const int64_t tq : {1, 200}) {
        const auto one = WithThreads(1, maker, exact, tq);
        for (const int threads : {2, 3, 5}) {
          SCOPED_TRACE(::testing::Message()
                       << maker.name << ", " << dtype << ", Tq " << tq << ", "
                       << threads << " threads");
          const auto many = WithThreads(threads, maker, exact, tq);
          for (size_t i = 0; i < 3; ++i)
            EXPECT_TRUE(at::equal(many[i], one[i])) << i;
          if (tq == 1) {
            EXPECT_TRUE(at::equal(many[3], one[3]));
            continue;
          }
          const double difference = RelativeDistance(many[3], one[3]);
          EXPECT_LE(difference, 1e-6);
          worst = std::max(worst, difference);
        }
      }
    }
  }
  std::printf("[ figures  ] column sums of a prefill differ by %.2g\n", worst);
}

INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTest,
                         ::testing::ValuesIn(CacheMakers()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvrecall
