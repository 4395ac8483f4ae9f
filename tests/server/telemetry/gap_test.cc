#include "server/telemetry/gap.h"

#include <cmath>

#include "ATen/ATen.h"
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

TEST(GapTest, ALaneThatIsNotFiniteIsAnError) {
  const at::Tensor z = at::zeros({10});
  at::Tensor lanes = at::zeros({2, 10});
  lanes[1][3] = NAN;
  EXPECT_EQ(CompareGaps(z, *DescribeLogits(z), lanes, 0).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace kvrecall
