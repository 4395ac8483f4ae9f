// Two runs with a known difference.

#include "common/analysis/run_comparison.h"

#include <gtest/gtest.h>

#include "tests/common/analysis/planted_run.h"

namespace kvrecall {
namespace {

// Samples differ far more from each other than the runs do.
RunTable Shifted(double shift, int samples, const char* budgets = "0.1,0.2") {
  return MakeRun(PlantedConfig("h2o,tova", "global", budgets), samples, 10,
                 [&](int sample, int, std::mt19937_64& generator) {
                   const double entropy = Entropy(generator);
                   Planted planted{entropy, {}};
                   for (int lane = 0; lane < 4; ++lane)
                     planted.recall.push_back(0.2 + 0.02 * (sample % 20) +
                                              shift + 0.01 * Normal(generator));
                   return planted;
                 });
}

RunComparison Compare(const std::vector<RunTable>& tables) {
  auto comparison = CompareRuns(tables, {});
  EXPECT_TRUE(comparison.ok()) << comparison.status();
  return *std::move(comparison);
}

TEST(RunComparisonTest, PairsTheSamplesThatBothHave) {
  const RunComparison comparison = Compare({Shifted(0, 40), Shifted(0.02, 40)});
  EXPECT_TRUE(comparison.paired);
  EXPECT_EQ(comparison.shared_samples, 40);
  ASSERT_EQ(comparison.lanes.size(), 4u);
  for (const LaneComparison& lane : comparison.lanes) {
    const Estimate& difference = lane.recall.differences[1];
    EXPECT_NEAR(*difference.value, 0.02, 0.002);
    // The spread between samples is not in it: that of a mean alone is 0.04.
    EXPECT_GT(difference.interval->low, 0.015);
    EXPECT_LT(difference.interval->high, 0.025);
    EXPECT_GT(lane.recall.values[0].interval->high -
                  lane.recall.values[0].interval->low,
              0.05);
    EXPECT_LT(*difference.p, 0.01);
    EXPECT_FALSE(lane.recall.differences[0].value);
  }
  EXPECT_EQ(*comparison.score.values[0].value, 0.5);
  EXPECT_EQ(*comparison.score.differences[1].value, 0);
  EXPECT_EQ(*comparison.entropy.differences[1].value, 0);
}

TEST(RunComparisonTest, OnlySharedSamplesCount) {
  const RunComparison comparison = Compare({Shifted(0, 40), Shifted(0, 12)});
  EXPECT_EQ(comparison.shared_samples, 12);
  EXPECT_NEAR(*comparison.lanes[0].recall.differences[1].value, 0, 0.002);
}

TEST(RunComparisonTest, WithoutSharedSamplesDrawsAreApart) {
  RunTable other = Shifted(0.02, 40);
  for (TableSample& sample : other.samples) sample.id += "-other";
  const RunComparison comparison = Compare({Shifted(0, 40), other});
  EXPECT_FALSE(comparison.paired);
  const Estimate& difference = comparison.lanes[0].recall.differences[1];
  EXPECT_NEAR(*difference.value, 0.02, 0.002);
  // Not paired, it drowns in the spread between samples.
  EXPECT_LT(difference.interval->low, 0);
  EXPECT_GT(difference.interval->high, 0.04);
}

TEST(RunComparisonTest, ThreeRunsAreHeldToTheFirst) {
  const RunComparison comparison =
      Compare({Shifted(0, 30), Shifted(0.1, 30), Shifted(-0.1, 30)});
  EXPECT_NEAR(*comparison.lanes[0].recall.differences[1].value, 0.1, 0.005);
  EXPECT_NEAR(*comparison.lanes[0].recall.differences[2].value, -0.1, 0.005);
}

TEST(RunComparisonTest, NeedsRunsThatCanBeCompared) {
  EXPECT_EQ(CompareRuns({Shifted(0, 3)}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const absl::Status nothing_shared =
      CompareRuns({Shifted(0, 3), Shifted(0, 3, "0.3,0.4")}, {}).status();
  EXPECT_EQ(nothing_shared.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(nothing_shared.message().find("share no combination"),
            std::string::npos);
  RunTableBuilder empty(PlantedConfig("h2o", "global", "0.1"));
  const absl::Status no_steps =
      CompareRuns({Shifted(0, 3), *empty.Build()}, {}).status();
  EXPECT_NE(no_steps.message().find("run 2"), std::string::npos);
}

}  // namespace
}  // namespace kvrecall
