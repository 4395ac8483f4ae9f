// Entropy and its kin of logits on the device, against the CPU's.

#include "server/telemetry/distribution.h"

#include <cmath>
#include <limits>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "tests/gpu/device.h"

namespace kvrecall {
namespace {

TEST(GpuDistributionTest, EqualsTheCpus) {
  at::manual_seed(31);
  for (const int64_t vocabulary : {1, 2, 300, 4096, 4097, 152064}) {
    SCOPED_TRACE(vocabulary);
    at::Tensor logits = at::randn({5, vocabulary}) * 8;
    logits[1].fill_(-3);               // all tied
    logits[2] = logits[2].round();     // the largest, too, as a rule
    logits[3][vocabulary / 2] = 1000;  // certain
    logits[4] = logits[4] * 1e30;      // a huge range
    const auto want = DescribeLogitRows(logits);
    const auto got = DescribeLogitRows(logits.to(TestDevice()));
    ASSERT_TRUE(want.ok() && got.ok());
    ASSERT_EQ(got->size(), 5);
    for (size_t r = 0; r < 5; ++r) {
      const TokenDistribution &a = (*got)[r], &b = (*want)[r];
      EXPECT_NEAR(a.entropy, b.entropy, 1e-6) << r;
      EXPECT_NEAR(a.p_max, b.p_max, 1e-6) << r;
      EXPECT_NEAR(a.margin, b.margin, 1e-6) << r;
      EXPECT_EQ(a.best, b.best) << r;
      EXPECT_EQ(a.best_logit, b.best_logit) << r;
      const int64_t other = vocabulary / 3;
      const at::Tensor row = logits[static_cast<int64_t>(r)];
      // As small as 0, where all tokens but this one are impossible.
      const double logprob = LogProbability(row, b, other);
      EXPECT_NEAR(LogProbability(row.to(TestDevice()), a, other), logprob,
                  1e-6 + 1e-6 * std::abs(logprob))
          << r;
    }
  }
}

TEST(GpuDistributionTest, WhatIsNotFiniteIsRefused) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()})
    for (const int64_t place : {0, 4500, 9999}) {
      at::Tensor logits = at::randn({10000});
      logits[place] = bad;
      EXPECT_EQ(DescribeLogits(logits.to(TestDevice())).status().code(),
                absl::StatusCode::kDataLoss);
    }
}

}  // namespace
}  // namespace kvrecall
