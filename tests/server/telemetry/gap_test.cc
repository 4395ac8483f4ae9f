#include "server/telemetry/gap.h"

#include <cmath>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

// KL(p ‖ p') of two lists of logits, in float64.
double DivergenceSlowly(const at::Tensor& z, const at::Tensor& lane) {
  const int64_t n = z.size(0);
  double sum = 0, lane_sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += std::exp(static_cast<double>(z[i].item<float>()));
    lane_sum += std::exp(static_cast<double>(lane[i].item<float>()));
  }
  double divergence = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double p = std::exp(static_cast<double>(z[i].item<float>())) / sum;
    const double q =
        std::exp(static_cast<double>(lane[i].item<float>())) / lane_sum;
    divergence += p * (std::log(p) - std::log(q));
  }
  return divergence;
}

TEST(GapTest, EqualsTheFormulas) {
  at::manual_seed(1);
  const at::Tensor z = at::randn({300}) * 3;
  const at::Tensor lanes = at::stack({z + at::randn({300}), z * 0.1, z + 5});
  const TokenDistribution distribution = *DescribeLogits(z);
  const auto gaps = CompareGaps(z, distribution, lanes, 17);
  ASSERT_TRUE(gaps.ok()) << gaps.status();
  for (int64_t i = 0; i < 3; ++i) {
    const GapRecord& gap = (*gaps)[static_cast<size_t>(i)];
    const TokenDistribution limited = *DescribeLogits(lanes[i]);
    EXPECT_NEAR(gap.kl, DivergenceSlowly(z, lanes[i]), 1e-9);
    EXPECT_NEAR(gap.entropy_change, limited.entropy - distribution.entropy,
                1e-12);
    EXPECT_NEAR(gap.logprob_change,
                (lanes[i][17].item<float>() - limited.log_normalizer) -
                    (z[17].item<float>() - distribution.log_normalizer),
                1e-12);
    EXPECT_EQ(gap.token_id, lanes[i].argmax().item<int64_t>());
    EXPECT_EQ(gap.top1_agrees, gap.token_id == z.argmax().item<int64_t>());
  }
}

// A shift of all logits is no difference; nor is what float32 rounds away.
TEST(GapTest, AlmostEqualDistributionsHaveAlmostNoDivergence) {
  at::manual_seed(2);
  const at::Tensor z = at::randn({152064}) * 4;
  const at::Tensor lanes =
      at::stack({z, z + 3, z * (1 + 1e-6), z + at::randn({152064}) * 1e-6});
  const auto gaps = CompareGaps(z, *DescribeLogits(z), lanes, 0);
  for (const GapRecord& gap : *gaps) {
    EXPECT_GE(gap.kl, 0);
    EXPECT_LE(gap.kl, 1e-11);
    EXPECT_TRUE(gap.top1_agrees);
  }
}

// More than one part of a vocabulary, the last of which is neither whole nor of
// whole vectors.
constexpr int64_t kVocabulary = 20001;

// Each as far from the oracle's as it says.
at::Tensor LanesBeside(const at::Tensor& z) {
  return at::stack({z + at::randn({kVocabulary}), z + 0.01 * at::randn_like(z),
                    z.flip(0), at::zeros_like(z), z * 30});
}

TEST(GapTest, ALongVocabularyEqualsLibtorchInFloat64) {
  at::manual_seed(3);
  const at::Tensor z = at::randn({kVocabulary}) * 4;
  const at::Tensor lanes = LanesBeside(z);
  const auto gaps = CompareGaps(z, *DescribeLogits(z), lanes, 7);
  ASSERT_TRUE(gaps.ok()) << gaps.status();
  const at::Tensor log_p = at::log_softmax(z.to(at::kDouble), 0);
  for (int64_t i = 0; i < lanes.size(0); ++i) {
    const at::Tensor log_q = at::log_softmax(lanes[i].to(at::kDouble), 0);
    const double want = (log_p.exp() * (log_p - log_q)).sum().item<double>();
    EXPECT_GT(want, 1e-5) << i;
    EXPECT_NEAR((*gaps)[static_cast<size_t>(i)].kl, want, 1e-11 * (1 + want))
        << i;
  }
}

TEST(GapTest, TheNumberOfThreadsChangesNoBit) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "OpenMP's threads cannot be followed";
#endif
  at::manual_seed(4);
  const at::Tensor z = at::randn({kVocabulary}) * 4;
  const at::Tensor lanes = LanesBeside(z);
  const TokenDistribution distribution = *DescribeLogits(z);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = CompareGaps(z, distribution, lanes, 7);
  at::set_num_threads(2);
  const auto two = CompareGaps(z, distribution, lanes, 7);
  at::set_num_threads(threads);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(*one, *two);
}

TEST(GapTest, ALaneThatIsNotFiniteIsAnError) {
  const at::Tensor z = at::zeros({10});
  at::Tensor lanes = at::zeros({2, 10});
  lanes[1][3] = NAN;
  EXPECT_EQ(CompareGaps(z, *DescribeLogits(z), lanes, 0).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace kvrecall
