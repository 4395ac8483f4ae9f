// The fast statistics of a draw against the plain ones on the draw written out.

#include "common/analysis/replicates.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "common/analysis/correlation.h"
#include "common/analysis/mean.h"
#include "common/analysis/roc.h"

namespace kvrecall {
namespace {

using Column = std::vector<double>;

struct Data {
  std::vector<int64_t> first = {0};
  Column x, y, control, other;
  std::vector<int> bin;
  std::vector<uint8_t> event;

  int64_t samples() const { return std::ssize(first) - 1; }
};

// Samples of 0 to 9 steps; values with ties, and samples without any spread.
Data RandomData(uint64_t seed, int64_t samples) {
  std::mt19937_64 generator(seed);
  const auto number = [&](int count) {
    return static_cast<double>(generator() % static_cast<uint64_t>(count));
  };
  Data data;
  for (int64_t s = 0; s < samples; ++s) {
    const bool constant = s % 3 == 2;
    const auto steps = static_cast<int64_t>(generator() % 10);
    for (int64_t t = 0; t < steps; ++t) {
      data.x.push_back(constant ? 2 : number(12) / 4);
      data.y.push_back(constant ? 0.5 : number(20) / 20 - data.x.back() / 9);
      data.control.push_back(static_cast<double>(t) + 1);
      data.other.push_back(std::log(100 + number(50)));
      data.bin.push_back(static_cast<int>(number(5)) - 1);
      data.event.push_back(data.y.back() < 0.3 ? 1 : 0);
    }
    data.first.push_back(std::ssize(data.x));
  }
  return data;
}

// The draw with every sample as often as it has it.
Data WriteOut(const Data& data, std::span<const double> weights) {
  Data drawn;
  for (int64_t s = 0; s < data.samples(); ++s)
    for (int copy = 0; copy < weights[s]; ++copy) {
      for (int64_t i = data.first[s]; i < data.first[s + 1]; ++i) {
        drawn.x.push_back(data.x[i]);
        drawn.y.push_back(data.y[i]);
        drawn.control.push_back(data.control[i]);
        drawn.other.push_back(data.other[i]);
        drawn.bin.push_back(data.bin[i]);
        drawn.event.push_back(data.event[i]);
      }
      drawn.first.push_back(std::ssize(drawn.x));
    }
  return drawn;
}

void ExpectSame(double got, std::optional<double> want, const char* what) {
  if (!want) {
    EXPECT_TRUE(std::isnan(got)) << what << ": " << got;
  } else {
    EXPECT_NEAR(got, *want, 1e-9) << what;
  }
}

TEST(ReplicatesTest, AreThePlainStatisticsOfTheDrawWrittenOut) {
  for (const int64_t samples : {1, 2, 3, 7, 30}) {
    SCOPED_TRACE(samples);
    const Data data = RandomData(7 + samples, samples);
    BootstrapOptions options;
    options.resamples = 43;  // no multiple of what is ranked at once
    options.seed = 5;
    const Resamples resamples(samples, options);
    const MomentReplicates moments = ReplicateMoments(
        resamples, data.first, data.x, data.y, {data.control, data.other});
    const Replicates within = ReplicateCentred(
        resamples, data.first, WithinSamples(data.x, data.first),
        WithinSamples(data.y, data.first));
    const std::vector<Replicates> ranks = ReplicateSpearman(
        resamples, data.first, data.x, {data.y, data.control, data.x});
    const std::vector<Replicates> means =
        ReplicateBinMeans(resamples, data.first, data.bin, 4, data.y);
    const Replicates area =
        ReplicateAuc(resamples, data.first, data.x, data.event);
    for (int b = 0; b < resamples.count(); ++b) {
      const Data drawn = WriteOut(data, resamples.Weights(b));
      ExpectSame(moments.pearson[b], Pearson(drawn.x, drawn.y)->r, "Pearson");
      ExpectSame(moments.slope[b], *Slope(drawn.x, drawn.y), "slope");
      if (drawn.x.size() >= 5)
        ExpectSame(
            moments.partial[b],
            PartialCorrelation(drawn.x, drawn.y, {drawn.control, drawn.other})
                ->r,
            "partial");
      ExpectSame(within[b],
                 Pearson(WithinSamples(drawn.x, drawn.first),
                         WithinSamples(drawn.y, drawn.first))
                     ->r,
                 "within");
      ExpectSame(ranks[0][b], Spearman(drawn.x, drawn.y)->r, "Spearman");
      ExpectSame(ranks[1][b], Spearman(drawn.x, drawn.control)->r, "Spearman");
      ExpectSame(ranks[2][b], Spearman(drawn.x, drawn.x)->r, "Spearman");
      ExpectSame(area[b], RocArea(drawn.x, drawn.event), "ROC area");
      for (int bin = 0; bin < 4; ++bin) {
        Column of_bin;
        for (size_t i = 0; i < drawn.y.size(); ++i)
          if (drawn.bin[i] == bin) of_bin.push_back(drawn.y[i]);
        ExpectSame(means[bin][b], *Mean(of_bin), "bin");
      }
    }
  }
}

TEST(ResamplesTest, DrawAsManySamplesAsThereAre) {
  const Resamples resamples(17, {.resamples = 3000, .seed = 1});
  Column drawn(17);
  for (int b = 0; b < resamples.count(); ++b) {
    double sum = 0;
    for (int64_t s = 0; s < 17; ++s) {
      sum += resamples.Weights(b)[s];
      drawn[s] += resamples.Weights(b)[s];
    }
    ASSERT_EQ(sum, 17);
  }
  // Each 3 000 times, give or take five standard deviations.
  for (const double count : drawn) EXPECT_NEAR(count, 3000, 270);
}

TEST(ResamplesTest, TheSeedDecidesAndThreadsDoNot) {
  const Data data = RandomData(3, 20);
  const auto replicate = [&](uint64_t seed, int threads) {
    const Resamples resamples(
        20, {.resamples = 100, .seed = seed, .threads = threads});
    return ReplicateSpearman(resamples, data.first, data.x, {data.y})[0];
  };
  EXPECT_EQ(replicate(1, 1), replicate(1, 3));
  EXPECT_NE(replicate(1, 1), replicate(2, 1));
}

TEST(ResamplesTest, IntervalsAreQuantilesOfWhatIsDefined) {
  const Resamples resamples(5, {.resamples = 2000});
  Replicates replicates(2000);
  for (int i = 0; i < 2000; ++i) replicates[i] = (i * 7) % 2000;
  const auto interval = PercentileInterval(resamples, replicates);
  ASSERT_TRUE(interval);
  EXPECT_NEAR(interval->low, 0.025 * 1999, 1e-9);
  EXPECT_NEAR(interval->high, 0.975 * 1999, 1e-9);
  // One draw is at 0 and counts on both sides, as does the one that is added.
  EXPECT_NEAR(*BootstrapP(resamples, replicates), 2 * 2.0 / 2001, 1e-12);
  for (int i = 0; i < 1000; ++i) replicates[i] = std::nan("");
  EXPECT_TRUE(PercentileInterval(resamples, replicates));
  replicates[1000] = std::nan("");
  EXPECT_FALSE(PercentileInterval(resamples, replicates));
  EXPECT_FALSE(BootstrapP(resamples, replicates));
  const Resamples of_one(1, {.resamples = 2000});
  EXPECT_FALSE(PercentileInterval(of_one, Replicates(2000, 1.0)));
}

// Samples of 4 to 32 steps whose means differ: entropy and recall with an
// intraclass correlation of 0.3, correlated −0.4 between and within samples
// alike, so that the pooled correlation of the population is −0.4.
Data ClusteredData(std::mt19937_64& generator) {
  constexpr double kBetween = 0.3, kCorrelation = -0.4;
  std::normal_distribution<double> normal;
  const auto pair = [&](double scale) {
    const double a = normal(generator), b = normal(generator);
    return std::pair(scale * a,
                     scale * (kCorrelation * a +
                              std::sqrt(1 - kCorrelation * kCorrelation) * b));
  };
  Data data;
  for (int s = 0; s < 100; ++s) {
    const auto [x, y] = pair(std::sqrt(kBetween));
    const auto steps = static_cast<int64_t>(4 + generator() % 29);
    for (int64_t t = 0; t < steps; ++t) {
      const auto [dx, dy] = pair(std::sqrt(1 - kBetween));
      data.x.push_back(x + dx);
      data.y.push_back(y + dy);
    }
    data.first.push_back(std::ssize(data.x));
  }
  return data;
}

TEST(CoverageTest, IntervalsHoldTheTruthAsOftenAsTheySay) {
  constexpr int kSets = 1000;
  std::mt19937_64 generator(20261125);
  int held = 0, mean_held = 0, naive_held = 0;
  for (int set = 0; set < kSets; ++set) {
    const Data data = ClusteredData(generator);
    const Resamples resamples(
        100, {.resamples = 2000, .seed = static_cast<uint64_t>(set)});
    const auto interval = PercentileInterval(
        resamples,
        ReplicateMoments(resamples, data.first, data.x, data.y, {}).pearson);
    held += interval->low <= -0.4 && -0.4 <= interval->high;
    const std::vector<int> all(data.y.size(), 0);
    const auto mean = PercentileInterval(
        resamples, ReplicateBinMeans(resamples, data.first, all, 1, data.y)[0]);
    mean_held += mean->low <= 0 && 0 <= mean->high;
    // As if steps were independent: 1.96 standard errors of the mean.
    double sum = 0, squares = 0;
    for (const double y : data.y) sum += y, squares += y * y;
    const double n = static_cast<double>(data.y.size());
    const double error = std::sqrt((squares / n - sum / n * sum / n) / (n - 1));
    naive_held += std::fabs(sum / n) <= 1.96 * error;
  }
  RecordProperty("correlation_percent", held / 10);
  RecordProperty("mean_percent", mean_held / 10);
  RecordProperty("naive_mean_percent", naive_held / 10);
  std::printf(
      "intervals hold the truth: correlation %.1f %%, mean %.1f %%; "
      "naive mean %.1f %%\n",
      held / 10.0, mean_held / 10.0, naive_held / 10.0);
  EXPECT_GE(held, 930);
  EXPECT_LE(held, 970);
  EXPECT_GE(mean_held, 930);
  EXPECT_LE(mean_held, 970);
  EXPECT_LT(naive_held, 850);
}

}  // namespace
}  // namespace kvrecall
