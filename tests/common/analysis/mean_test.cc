#include "common/analysis/mean.h"

#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

TEST(MeanTest, OfNothingIsNull) {
  const auto mean = Mean({});
  ASSERT_TRUE(mean.ok());
  EXPECT_FALSE(mean->has_value());
}

TEST(MeanTest, OfOneValueIsThatValue) {
  const std::vector<double> values = {0.1};
  EXPECT_EQ(*Mean(values).value(), 0.1);
}

TEST(MeanTest, SmallValuesSurviveLargeOnesThatCancel) {
  // A plain sum of these is 0.
  const std::vector<double> values = {1, 1e100, 1, -1e100};
  EXPECT_EQ(*Mean(values).value(), 0.5);
}

TEST(MeanTest, AMillionTenthsMakeATenth) {
  const std::vector<double> values(1'000'000, 0.1);
  EXPECT_EQ(*Mean(values).value(), 0.1);
}

TEST(MeanTest, EqualsTheSumInLongDouble) {
  std::mt19937_64 rng(1);
  std::uniform_real_distribution<double> uniform(-3, 5);
  for (size_t n = 1; n < 200; ++n) {
    std::vector<double> values(n);
    long double sum = 0;
    for (double& value : values) sum += value = uniform(rng);
    EXPECT_NEAR(*Mean(values).value(), static_cast<double>(sum / n), 1e-15);
  }
}

TEST(MeanTest, RefusesWhatIsNotFiniteByItsIndex) {
  const std::vector<double> nan = {1, std::numeric_limits<double>::quiet_NaN()};
  const std::vector<double> infinite = {
      std::numeric_limits<double>::infinity()};
  EXPECT_EQ(Mean(nan).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Mean(nan).status().message()),
              HasSubstr("values[1]"));
  EXPECT_FALSE(Mean(infinite).ok());
}

}  // namespace
}  // namespace kvrecall
