// The whole analysis on runs with a known answer planted.

#include "common/analysis/run_analysis.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tests/common/analysis/planted_run.h"

namespace kvrecall {
namespace {

RunAnalysis Analyze(const RunTable& table, AnalysisOptions options = {}) {
  auto analysis = AnalyzeRun(table, options);
  EXPECT_TRUE(analysis.ok()) << analysis.status();
  return *std::move(analysis);
}

constexpr char kBudgets[] = "0.1,0.2,0.3";

// Recall falls with entropy, the more noisily the larger the budget.
TEST(VerdictOnPlantedRunsTest, FindsACorrelationThatIsThere) {
  const RunTable table =
      MakeRun(PlantedConfig("h2o", "global", kBudgets), 60, 40,
              [](int, int, std::mt19937_64& generator) {
                const double entropy = Entropy(generator);
                Planted planted{entropy, {}};
                for (const double noise : {0.20, 0.35, 0.60})
                  planted.recall.push_back(1 - 0.25 * entropy +
                                           noise * Normal(generator));
                return planted;
              });
  const RunAnalysis analysis = Analyze(table);
  ASSERT_EQ(analysis.verdict.budgets.size(), 3u);
  EXPECT_EQ(analysis.verdict.policy, "h2o");
  EXPECT_EQ(analysis.verdict.scope, "global");
  EXPECT_NEAR(*analysis.lanes[1].pearson.r, -0.6, 0.08);
  for (const BudgetVerdict& budget : analysis.verdict.budgets) {
    EXPECT_EQ(budget.falls.finding, Finding::kSupported) << budget.falls.reason;
    if (budget.stronger) {
      EXPECT_EQ(budget.stronger->finding, Finding::kSupported)
          << budget.stronger->reason;
    }
  }
  EXPECT_FALSE(analysis.verdict.budgets.back().stronger);
  EXPECT_EQ(analysis.verdict.budgets[0].criterion.finding, Finding::kSupported)
      << analysis.verdict.budgets[0].criterion.reason;
  EXPECT_TRUE(analysis.warnings.empty()) << analysis.warnings[0];
  // Entropy announces it better than what was planted without a signal.
  const auto& triggers = analysis.lanes[0].triggers;
  EXPECT_GT(*triggers[0].area.value, 0.8);
  EXPECT_TRUE(triggers[0].area.interval);
  EXPECT_NEAR(*triggers[3].area.value, 0.5, 1e-12);
  EXPECT_FALSE(triggers[4].area.value);
}

TEST(VerdictOnPlantedRunsTest, FindsNoneWhereThereIsNone) {
  const RunTable table =
      MakeRun(PlantedConfig("h2o", "global", kBudgets), 60, 40,
              [](int, int, std::mt19937_64& generator) {
                Planted planted{Entropy(generator), {}};
                for (int i = 0; i < 3; ++i)
                  planted.recall.push_back(0.6 + 0.2 * Normal(generator));
                return planted;
              });
  const RunAnalysis analysis = Analyze(table);
  for (const BudgetVerdict& budget : analysis.verdict.budgets) {
    EXPECT_EQ(budget.falls.finding, Finding::kNotSupported)
        << budget.falls.reason;
    EXPECT_EQ(budget.criterion.finding, Finding::kNotSupported);
  }
  EXPECT_TRUE(analysis.warnings.empty());
}

// Samples of high entropy have low recall, but no step of a sample is worse for
// being less sure.
TEST(VerdictOnPlantedRunsTest, WarnsOfACorrelationBetweenSamplesOnly) {
  std::vector<double> level;
  std::mt19937_64 levels(5);
  for (int s = 0; s < 60; ++s) level.push_back(Entropy(levels));
  const RunTable table = MakeRun(
      PlantedConfig("h2o", "global", kBudgets), 60, 40,
      [&](int sample, int, std::mt19937_64& generator) {
        Planted planted{level[sample] + 0.4 * std::fabs(Normal(generator)), {}};
        for (int i = 0; i < 3; ++i)
          planted.recall.push_back(0.8 - 0.2 * level[sample] +
                                   0.05 * Normal(generator));
        return planted;
      });
  const RunAnalysis analysis = Analyze(table);
  EXPECT_EQ(analysis.verdict.budgets[0].falls.finding, Finding::kSupported);
  ASSERT_EQ(analysis.warnings.size(), 3u);
  EXPECT_NE(analysis.warnings[0].find("budget 0.1"), std::string::npos);
  EXPECT_NE(analysis.warnings[0].find("within samples"), std::string::npos);
  EXPECT_NEAR(*analysis.lanes[0].within_pearson.r, 0, 0.1);
}

TEST(RunAnalysisTest, SaysNothingOfTooLittle) {
  const auto plant = [](int, int, std::mt19937_64& generator) {
    return Planted{Entropy(generator), {0.5, 0.6, 0.7}};
  };
  const RunConfig config = PlantedConfig("h2o", "global", kBudgets);
  const RunAnalysis few = Analyze(MakeRun(config, 19, 40, plant));
  EXPECT_EQ(few.verdict.budgets[0].falls.finding, Finding::kNotEnoughData);
  EXPECT_NE(few.verdict.budgets[0].falls.reason.find("19 samples"),
            std::string::npos);
  // Constant recall: no correlation, no ROC area, and never a 0 in place of it.
  const RunAnalysis constant = Analyze(MakeRun(config, 30, 40, plant));
  const LaneAnalysis& lane = constant.lanes[0];
  for (const CorrelationEstimate& estimate :
       {lane.pearson, lane.spearman, lane.within_pearson, lane.within_spearman,
        lane.partial, lane.next_recall.pooled}) {
    EXPECT_FALSE(estimate.r);
    EXPECT_FALSE(estimate.interval);
    EXPECT_FALSE(estimate.naive_p);
  }
  EXPECT_FALSE(lane.triggers[0].area.value);
  EXPECT_EQ(*lane.recall.value, 0.5);
  EXPECT_FALSE(constant.sensitivities[0].difference.value);
  // One sample has no interval.
  const RunAnalysis one =
      Analyze(MakeRun(config, 1, 40, [](int, int, std::mt19937_64& generator) {
        const double entropy = Entropy(generator);
        return Planted{entropy, {1 - entropy / 9, 0.5, 0.5}};
      }));
  EXPECT_TRUE(one.lanes[0].pearson.r);
  EXPECT_FALSE(one.lanes[0].pearson.interval);
  EXPECT_FALSE(one.lanes[0].recall.interval);
}

TEST(RunAnalysisTest, RefusesARunWithoutSteps) {
  RunTableBuilder builder(PlantedConfig("h2o", "global", kBudgets));
  const auto analysis = AnalyzeRun(*builder.Build(), {});
  EXPECT_EQ(analysis.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(analysis.status().message().find("no steps"), std::string::npos);
}

TEST(RunAnalysisTest, RefusesOptionsThatMakeNoSense) {
  const RunTable table =
      MakeRun(PlantedConfig("h2o", "global", kBudgets), 2, 3,
              [](int, int, std::mt19937_64& generator) {
                return Planted{Entropy(generator), {0.5, 0.6, 0.7}};
              });
  const auto refused = [&](auto change, const char* part) {
    AnalysisOptions options;
    change(options);
    const absl::Status status = AnalyzeRun(table, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(part), std::string::npos) << status;
  };
  refused([](auto& o) { o.bootstrap.resamples = 1999; }, "2000");
  refused([](auto& o) { o.bootstrap.level = 1; }, "level");
  refused([](auto& o) { o.quantile_bins = 1; }, "quantile");
  refused([](auto& o) { o.tau = 0; }, "tau");
  refused([](auto& o) { o.edges = {1, 1}; }, "edges");
}

// Every budget pair, the gap lanes beside the recall that they go with, and the
// same numbers whatever the number of threads.
TEST(RunAnalysisTest, CoversAllLanesAndIsDeterministic) {
  RunConfig config = PlantedConfig("random,h2o,tova@periodic(4)",
                                   "layer,global", "0.3,0.1,tokens:64");
  config.gaps = *ParseGapSpecs(
      "without_gold(0.1),only_pred(h2o,0.1),only_pred(h2o,0.3,layer)");
  const RunTable table =
      MakeRun(config, 25, 12, [](int, int step, std::mt19937_64& generator) {
        const double entropy = Entropy(generator);
        Planted planted{entropy, {}};
        for (int lane = 0; lane < 18; ++lane)
          planted.recall.push_back(0.9 - 0.02 * lane - 0.1 * entropy +
                                   0.1 * Normal(generator) - 0.01 * step);
        return planted;
      });
  const RunAnalysis analysis = Analyze(table);
  ASSERT_EQ(analysis.lanes.size(), 18u);
  // Of h2o in scope global: 0.1, then 0.3, then the number of tokens.
  EXPECT_EQ(analysis.headline, (std::vector<int>{10, 9, 11}));
  ASSERT_EQ(analysis.verdict.budgets.size(), 3u);
  EXPECT_TRUE(analysis.verdict.budgets[0].stronger);
  EXPECT_FALSE(analysis.verdict.budgets[1].stronger) << "another kind";
  EXPECT_EQ(analysis.sensitivities.size(), 6u);
  ASSERT_EQ(analysis.gaps.size(), 3u);
  for (const GapAnalysis& gap : analysis.gaps) {
    EXPECT_NEAR(*gap.entropy_with_kl.r, 1, 1e-12);
    EXPECT_EQ(gap.kl_by_recall.size(), 10u);
  }
  EXPECT_TRUE(analysis.lanes[0].score.r);
  EXPECT_EQ(analysis.lanes[0].score.n, 25);
  EXPECT_EQ(analysis.lanes[0].next_recall.pooled.n, 25 * 11);
  ASSERT_EQ(analysis.exemplars.size(), 10u);
  EXPECT_EQ(analysis.exemplars[0].recall.size(), 3u);
  EXPECT_GT(analysis.exemplars[0].entropy, 1);
  int64_t binned = 0;
  for (const BinEstimate& bin : analysis.lanes[0].bins) binned += bin.steps;
  EXPECT_EQ(binned, 300);

  AnalysisOptions options;
  options.bootstrap.threads = 5;
  const RunAnalysis again = Analyze(table, options);
  for (size_t i = 0; i < analysis.lanes.size(); ++i) {
    EXPECT_EQ(again.lanes[i].spearman.interval,
              analysis.lanes[i].spearman.interval);
    EXPECT_EQ(again.lanes[i].pearson.interval,
              analysis.lanes[i].pearson.interval);
    EXPECT_EQ(again.lanes[i].slope.p, analysis.lanes[i].slope.p);
  }
  options.bootstrap.seed = 1;
  EXPECT_NE(Analyze(table, options).lanes[0].pearson.interval,
            analysis.lanes[0].pearson.interval);
}

TEST(RunAnalysisTest, QuantileBinsHoldAsManyStepsEach) {
  const RunTable table = MakeRun(PlantedConfig("h2o", "global", "0.1"), 20, 10,
                                 [](int, int, std::mt19937_64& generator) {
                                   return Planted{Entropy(generator), {0.5}};
                                 });
  AnalysisOptions options;
  options.quantile_bins = 4;
  const RunAnalysis analysis = Analyze(table, options);
  ASSERT_EQ(analysis.lanes[0].bins.size(), 4u);
  for (const BinEstimate& bin : analysis.lanes[0].bins)
    EXPECT_EQ(bin.steps, 50);
}

}  // namespace
}  // namespace kvrecall
