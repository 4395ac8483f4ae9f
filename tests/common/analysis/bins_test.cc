#include "common/analysis/bins.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string Message(const absl::StatusOr<BinTable>& table) {
  EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(table.status().message());
}

TEST(BinsTest, DefaultEdgesAreTheDefinition) {
  EXPECT_THAT(DefaultEntropyEdges(),
              ElementsAre(0, 0.5, 1, 1.5, 2, 2.5, 3, kInfinity));
}

TEST(BinsTest, AKeyOnAnEdgeBelongsToTheBinThatItOpens) {
  const std::vector<double> keys = {0, 0.5, std::nextafter(0.5, 0), 3, 11.9};
  const std::vector<double> values = {0.1, 0.2, 0.3, 0.4, 0.6};
  const std::vector<int64_t> samples = {7, 7, 8, 9, 9};
  const auto table = MeanByBin(keys, values, samples, DefaultEntropyEdges());
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->bins.size(), 7u);
  EXPECT_EQ(table->bins[0].n, 2);
  EXPECT_EQ(table->bins[0].samples, 2);
  EXPECT_DOUBLE_EQ(*table->bins[0].mean, 0.2);
  EXPECT_EQ(table->bins[1].n, 1);
  EXPECT_EQ(table->bins[6].n, 2);
  EXPECT_EQ(table->bins[6].samples, 1);
  EXPECT_EQ(table->bins[6].low, 3);
  EXPECT_EQ(table->bins[6].high, kInfinity);
  EXPECT_EQ(table->outside, 0);
}

TEST(BinsTest, AnEmptyBinHasNoMean) {
  const auto table = MeanByBin({}, {}, {}, DefaultEntropyEdges());
  ASSERT_TRUE(table.ok());
  for (const Bin& bin : table->bins) {
    EXPECT_EQ(bin.n, 0);
    EXPECT_EQ(bin.samples, 0);
    EXPECT_FALSE(bin.mean.has_value());
  }
}

TEST(BinsTest, KeysBeyondTheEdgesAreCountedAndNotDropped) {
  const std::vector<double> keys = {-1, 0, 1, 2, 3};
  const std::vector<double> values(5, 1.0);
  const std::vector<int64_t> samples(5, 0);
  const std::vector<double> edges = {0, 1, 2};
  const auto table = MeanByBin(keys, values, samples, edges);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->bins[0].n, 1);
  EXPECT_EQ(table->bins[1].n, 1);
  EXPECT_EQ(table->outside, 3);
}

TEST(BinsTest, RefusesColumnsOfDifferentLengths) {
  const std::vector<double> two = {1, 2}, one = {1};
  const std::vector<int64_t> samples = {1, 2}, sample = {1};
  const auto edges = DefaultEntropyEdges();
  EXPECT_THAT(Message(MeanByBin(two, one, samples, edges)),
              HasSubstr("keys has 2 values, values has 1"));
  EXPECT_THAT(Message(MeanByBin(two, two, sample, edges)),
              HasSubstr("samples has 1"));
}

TEST(BinsTest, RefusesWhatIsNotFinite) {
  const std::vector<double> good = {1}, nan = {kNan}, infinite = {kInfinity};
  const std::vector<int64_t> samples = {1};
  const auto edges = DefaultEntropyEdges();
  EXPECT_THAT(Message(MeanByBin(nan, good, samples, edges)),
              HasSubstr("keys[0]"));
  EXPECT_THAT(Message(MeanByBin(good, nan, samples, edges)),
              HasSubstr("values[0]"));
  EXPECT_FALSE(MeanByBin(infinite, good, samples, edges).ok());
}

TEST(BinsTest, RefusesEdgesThatDoNotAscend) {
  const std::vector<std::vector<double>> bad = {
      {}, {0}, {0, 0}, {1, 0}, {0, kNan}, {kNan, 1}, {0, 1, 1}};
  for (const std::vector<double>& edges : bad) {
    EXPECT_THAT(Message(MeanByBin({}, {}, {}, edges)), HasSubstr("edges"));
  }
}

// One bin, by the definition.
Bin SlowBin(const std::vector<double>& keys, const std::vector<double>& values,
            const std::vector<int64_t>& samples, double low, double high) {
  Bin bin{.low = low, .high = high};
  std::set<int64_t> seen;
  long double sum = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!(low <= keys[i] && keys[i] < high)) continue;
    ++bin.n;
    seen.insert(samples[i]);
    sum += values[i];
  }
  bin.samples = static_cast<int64_t>(seen.size());
  if (bin.n > 0) bin.mean = static_cast<double>(sum / bin.n);
  return bin;
}

TEST(BinsTest, EqualsTheSlowTwinOnRandomPoints) {
  std::mt19937_64 rng(2);
  const std::vector<std::vector<double>> all_edges = {
      {DefaultEntropyEdges().begin(), DefaultEntropyEdges().end()},
      {-kInfinity, 0.25, 1, kInfinity},
      {0.5, 2.75}};
  for (int round = 0; round < 300; ++round) {
    const std::vector<double>& edges = all_edges[round % all_edges.size()];
    const size_t n = rng() % 40;
    std::vector<double> keys(n), values(n);
    std::vector<int64_t> samples(n);
    for (size_t i = 0; i < n; ++i) {
      keys[i] = static_cast<double>(rng() % 17) / 4;  // often on an edge
      values[i] = static_cast<double>(rng() % 1000) / 999;
      samples[i] = static_cast<int64_t>(rng() % 5) - 2;
    }
    const auto table = MeanByBin(keys, values, samples, edges);
    ASSERT_TRUE(table.ok()) << table.status();
    int64_t inside = 0;
    for (size_t b = 0; b + 1 < edges.size(); ++b) {
      const Bin want = SlowBin(keys, values, samples, edges[b], edges[b + 1]);
      const Bin& got = table->bins[b];
      inside += want.n;
      EXPECT_EQ(got.low, want.low);
      EXPECT_EQ(got.high, want.high);
      EXPECT_EQ(got.n, want.n);
      EXPECT_EQ(got.samples, want.samples);
      ASSERT_EQ(got.mean.has_value(), want.mean.has_value());
      EXPECT_NEAR(got.mean.value_or(0), want.mean.value_or(0), 1e-15);
    }
    EXPECT_EQ(table->outside, static_cast<int64_t>(n) - inside);
  }
}

}  // namespace
}  // namespace kvrecall
