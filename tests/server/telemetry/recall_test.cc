#include "server/telemetry/recall.h"

#include <cmath>
#include <optional>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/telemetry/random_policy.h"
#include "server/telemetry/selector.h"

namespace kvrecall {
namespace {

SetJob Job(const Scores& scores, const at::Tensor& rows, int64_t k) {
  SetJob job;
  job.scores = scores;
  job.budgets = 1;
  job.ks = {k};
  job.weights = rows;
  return job;
}

// The record of one K at step 1; every row is a layer, or `layers` share them.
RecallRecord Compare(const at::Tensor& rows, const Scores& scores, int64_t k,
                     std::optional<int64_t> layers = {}) {
  SetJob gold = Job({rows}, rows, k);
  gold.held = at::zeros(rows.sizes(), at::kShort);
  const at::Tensor gold_figures = FormSets({&gold, 1})[0];
  SetJob job = Job(scores, rows, k);
  job.other = gold.held;
  const GoldSets sets = {
      gold_figures, {k}, {}, rows.size(1), layers.value_or(rows.size(0))};
  return MakeRecalls(sets, FormSets({&job, 1})[0], false)[0];
}

TEST(RecallTest, TheWholeContextIsAlwaysRecalled) {
  at::manual_seed(3);
  const at::Tensor rows = at::softmax(at::randn({5, 31}), -1);
  const RecallRecord record = Compare(rows, {at::randn({5, 31})}, 31);
  EXPECT_EQ(record.recall, 1);
  EXPECT_EQ(record.chance, 1);
  EXPECT_NEAR(record.mass, 1, 1e-6);
  EXPECT_EQ(record.mass_ratio, 1);
  EXPECT_FALSE(record.lift.has_value());
  EXPECT_FALSE(record.drift.has_value());
  EXPECT_FALSE(record.fetched_back.has_value());
  EXPECT_FALSE(record.recall_without_free_hits.has_value()) << "all are free";
  EXPECT_EQ(record.layer_recalls.size(), 5u);
}

// Whatever the number of rows: a model of one layer has one row in scope layer
// too.
TEST(RecallTest, OnlyScopeGlobalKeepsNoLayers) {
  const at::Tensor rows = at::softmax(at::randn({1, 8}), -1);
  EXPECT_TRUE(Compare(rows, {rows}, 2, /*layers=*/0).layer_recalls.empty());
  EXPECT_EQ(Compare(rows, {rows}, 2, /*layers=*/1).layer_recalls,
            std::vector<float>{1});
}

// The positions 0 and 1 are gold in all rows; the rows hold 2, 1, 1 and none.
TEST(RecallTest, ALayersRecallIsTheMeanOverItsRows) {
  const at::Tensor rows =
      at::tensor({0.5f, 0.3f, 0.1f, 0.1f}).repeat({4, 1}).contiguous();
  const at::Tensor scores =
      at::tensor({2, 1, 0, 0, 2, 0, 1, 0, 0, 2, 1, 0, 0, 0, 2, 1})
          .to(at::kFloat)
          .view({4, 4});
  const RecallRecord record = Compare(rows, {scores}, 2, /*layers=*/2);
  EXPECT_EQ(record.recall, 0.5);
  EXPECT_EQ(record.layer_recalls, (std::vector<float>{0.75, 0.25}));
}

TEST(RecallTest, RowsWithoutEarnedGoldAreLeftOut) {
  // Row 0: the gold position is a sink. Row 1: it is not, and is not held.
  at::Tensor rows = at::zeros({2, 60});
  rows[0][0] = 1;
  rows[1][10] = 1;
  at::Tensor scores = at::zeros({2, 60});
  scores[0][0] = 1;
  scores[1][11] = 1;
  const RecallRecord record = Compare(rows, {scores}, 1);
  EXPECT_EQ(record.recall, 0.5);
  EXPECT_EQ(record.recall_without_free_hits, 0);
}

TEST(RecallTest, DriftIsOneMinusJaccard) {
  // {0, 1} before, {1, 2, 3} now: 1 in common of 4.
  at::Tensor rows = at::tensor({0.0f, 0.3f, 0.4f, 0.3f}).view({1, 4});
  SetJob gold = Job({rows}, rows, 3);
  gold.other = at::tensor({1, 1, 0, 0}, at::kShort).view({1, 4});
  const GoldSets sets = {FormSets({&gold, 1})[0], {3}, {2}, 4, 0};
  const RecallRecord record = MakeOracleRecalls(sets)[0];
  EXPECT_EQ(record.recall, 1);
  EXPECT_DOUBLE_EQ(*record.drift, 0.75);
}

// Over 200 seeds the mean recall of `random` is the chance formula, within 4
// standard errors, with and without q_t in the gold set.
TEST(ChanceTest, RandomAveragesToTheFormula) {
  for (const bool own_is_gold : {false, true}) {
    at::manual_seed(own_is_gold ? 1 : 2);
    at::Tensor rows = at::softmax(at::randn({1, 120}), -1);
    rows[0][119] = own_is_gold ? 1.0 : 0.0;
    StepView view;
    view.positions = 120;
    view.accumulated = at::zeros({1, 119}, at::kDouble);
    for (const int64_t k : {1, 12, 36, 60}) {
      double sum = 0, squares = 0, chance = 0;
      for (uint64_t seed = 0; seed < 200; ++seed) {
        RandomPolicy policy(seed, 0xfeedULL);
        const RecallRecord record = Compare(rows, policy.Score(view), k);
        sum += record.recall;
        squares += record.recall * record.recall;
        chance = record.chance;
      }
      const double mean = sum / 200;
      const double variance = (squares - 200 * mean * mean) / 199;
      const double error = std::sqrt(std::max(variance, 0.0) / 200);
      EXPECT_NEAR(mean, chance, 4 * error + 1e-12) << k << " " << own_is_gold;
    }
  }
}

}  // namespace
}  // namespace kvrecall
