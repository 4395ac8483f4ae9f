#include "common/analysis/correlation.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using Column = std::vector<double>;

// n Σxy − Σx Σy over the roots, in long double: another formula than the
// library's, good for values of ordinary size.
double SlowPearson(const Column& x, const Column& y) {
  long double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const long double a = x[i], b = y[i];
    sx += a;
    sy += b;
    sxx += a * a;
    syy += b * b;
    sxy += a * b;
  }
  const long double n = x.size();
  return static_cast<double>(
      (n * sxy - sx * sy) /
      std::sqrt((n * sxx - sx * sx) * (n * syy - sy * sy)));
}

Correlation Get(const Column& x, const Column& y) {
  const auto result = Pearson(x, y);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(Correlation{});
}

// Anscombe, "Graphs in Statistical Analysis" (1973): all four have r = 0.816.
TEST(PearsonTest, GivesAnscombesPublishedValue) {
  const Column x = {10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5};
  const Column y1 = {8.04, 6.95, 7.58,  8.81, 8.33, 9.96,
                     7.24, 4.26, 10.84, 4.82, 5.68};
  const Column y2 = {9.14, 8.14, 8.74, 8.77, 9.26, 8.10,
                     6.13, 3.10, 9.13, 7.26, 4.74};
  EXPECT_NEAR(*Get(x, y1).r, 0.81642051634484, 1e-13);
  EXPECT_NEAR(*Get(x, y2).r, 0.8162365060002428, 1e-13);
  EXPECT_EQ(Get(x, y1).n, 11);
}

TEST(PearsonTest, TwoPointsAreAlwaysPerfect) {
  EXPECT_EQ(*Get({0.1, 0.3}, {5, 7}).r, 1);
  EXPECT_EQ(*Get({0.1, 0.3}, {7, 5}).r, -1);
}

TEST(PearsonTest, OrthogonalColumnsGiveZeroAndNotNull) {
  EXPECT_EQ(*Get({-1, 0, 1}, {1, 0, 1}).r, 0);
}

TEST(PearsonTest, FewerThanTwoPairsGiveNull) {
  EXPECT_FALSE(Get({}, {}).r.has_value());
  EXPECT_EQ(Get({}, {}).n, 0);
  EXPECT_FALSE(Get({1}, {2}).r.has_value());
  EXPECT_EQ(Get({1}, {2}).n, 1);
}

TEST(PearsonTest, AConstantColumnGivesNullAndNeverZero) {
  // The mean of many tenths need not be a tenth.
  for (size_t n : {2u, 3u, 7u, 10u, 1001u}) {
    const Column constant(n, 0.1);
    Column ramp(n);
    for (size_t i = 0; i < n; ++i) ramp[i] = static_cast<double>(i);
    EXPECT_FALSE(Get(constant, ramp).r.has_value());
    EXPECT_FALSE(Get(ramp, constant).r.has_value());
    EXPECT_FALSE(Get(constant, constant).r.has_value());
    EXPECT_EQ(Get(constant, ramp).n, static_cast<int64_t>(n));
  }
  EXPECT_FALSE(Get({0.0, -0.0}, {1, 2}).r.has_value());
}

TEST(PearsonTest, EqualsTheSlowTwinOnRandomColumns) {
  std::mt19937_64 rng(3);
  std::normal_distribution<double> normal;
  for (int round = 0; round < 400; ++round) {
    const size_t n = 2 + rng() % 60;
    const double mix = normal(rng);
    Column x(n), y(n);
    for (size_t i = 0; i < n; ++i) {
      x[i] = 2 + normal(rng);
      y[i] = mix * x[i] + normal(rng);
    }
    EXPECT_NEAR(*Get(x, y).r, SlowPearson(x, y), 1e-12);
    EXPECT_EQ(*Get(x, y).r, *Get(y, x).r);
  }
}

TEST(PearsonTest, DoesNotSeeShiftAndScale) {
  const Column x = {1, 2, 4, 8, 16}, y = {3, 1, 4, 1, 5};
  const double r = *Get(x, y).r;
  Column far = x;
  for (double& value : far) value += 1e12;
  EXPECT_NEAR(*Get(far, y).r, r, 1e-14);
  for (double scale : {1e-310, 1e-200, 1e-9, 1e200, 1e307}) {
    Column scaled = x;
    for (double& value : scaled) value *= scale;
    // A denormal column has few bits left.
    EXPECT_NEAR(*Get(scaled, y).r, r, scale < 1e-300 ? 1e-12 : 1e-14);
    EXPECT_NEAR(*Get(y, scaled).r, r, scale < 1e-300 ? 1e-12 : 1e-14);
  }
}

TEST(PearsonTest, StaysWithinOneForColumnsThatAreOneLine) {
  std::mt19937_64 rng(4);
  std::uniform_real_distribution<double> uniform;
  for (int round = 0; round < 200; ++round) {
    Column x(3 + rng() % 20), y;
    for (double& value : x) y.push_back(-3 * (value = uniform(rng)) + 0.1);
    const double r = *Get(x, y).r;
    EXPECT_GE(r, -1);
    EXPECT_NEAR(r, -1, 1e-14);
  }
}

TEST(PearsonTest, RefusesWhatIsNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Column good = {1, 2}, bad = {1, nan};
  const auto result = Pearson(good, bad);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("y[1]"));
  EXPECT_FALSE(Pearson(bad, good).ok());
  EXPECT_FALSE(
      Pearson(good, Column{1, std::numeric_limits<double>::infinity()}).ok());
}

TEST(PearsonTest, RefusesColumnsOfDifferentLengths) {
  const auto result = Pearson(Column{1, 2}, Column{1});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvrecall
