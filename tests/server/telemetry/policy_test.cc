#include <algorithm>
#include <cmath>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "common/record/policy_catalog.h"
#include "server/telemetry/h2o.h"
#include "server/telemetry/oracle.h"
#include "server/telemetry/policy_registry.h"
#include "server/telemetry/pyramidkv.h"
#include "server/telemetry/random_policy.h"
#include "server/telemetry/selector.h"
#include "server/telemetry/streaming.h"
#include "server/telemetry/trigger.h"

namespace kvrecall {
namespace {

std::vector<int64_t> Held(Policy& policy, const StepView& view, int64_t k) {
  SetJob job;
  job.scores = policy.Score(view);
  job.budgets = 1;
  job.ks = {k};
  job.weights = at::zeros({1, view.positions});
  job.held = at::zeros({1, view.positions}, at::kShort);
  FormSets({&job, 1});
  std::vector<int64_t> held;
  for (int64_t j = 0; j < view.positions; ++j)
    if (job.held[0][j].item<int64_t>() != 0) held.push_back(j);
  return held;
}

StepView View(std::vector<double> accumulated) {
  StepView view;
  view.positions = static_cast<int64_t>(accumulated.size()) + 1;
  view.accumulated = at::tensor(accumulated, at::kDouble).view({1, -1});
  return view;
}

TEST(H2oPolicyTest, KeepsTheHeaviestAndItsOwnPosition) {
  H2oPolicy policy(true);
  const StepView view = View({5, 1, 4, 2});
  EXPECT_EQ(Held(policy, view, 1), (std::vector<int64_t>{4}));
  EXPECT_EQ(Held(policy, view, 3), (std::vector<int64_t>{0, 2, 4}));
  EXPECT_EQ(Held(policy, view, 5), (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

TEST(H2oPolicyTest, WithoutSelfItsOwnPositionCompetesWithNoScore) {
  H2oPolicy policy(false);
  EXPECT_EQ(Held(policy, View({5, 1, 4, 2}), 2), (std::vector<int64_t>{0, 2}));
  // A tie at 0 goes to the lower position.
  EXPECT_EQ(Held(policy, View({5, 0, 0}), 2), (std::vector<int64_t>{0, 1}));
}

TEST(H2oPolicyTest, TheFirstPositionOfATextHasNoHistory) {
  H2oPolicy policy(true);
  EXPECT_EQ(Held(policy, View({}), 1), (std::vector<int64_t>{0}));
}

TEST(RandomPolicyTest, SetsAreNestedAndStable) {
  RandomPolicy policy(7, 42);
  StepView view = View(std::vector<double>(50));
  const auto small = Held(policy, view, 10), large = Held(policy, view, 20);
  EXPECT_TRUE(
      std::includes(large.begin(), large.end(), small.begin(), small.end()));
  EXPECT_EQ(large.back(), 50);
  // Later steps rank the earlier positions as before.
  const at::Tensor before = policy.Score(view).values;
  StepView later = View(std::vector<double>(500));
  EXPECT_TRUE(at::equal(policy.Score(later).values.narrow(1, 0, 50),
                        before.narrow(1, 0, 50)));
}

TEST(RandomPolicyTest, SeedSampleAndRowAllMatter) {
  const double base = RandomPolicy::Priority(1, 2, 3, 4);
  EXPECT_NE(RandomPolicy::Priority(2, 2, 3, 4), base);
  EXPECT_NE(RandomPolicy::Priority(1, 3, 3, 4), base);
  EXPECT_NE(RandomPolicy::Priority(1, 2, 4, 4), base);
  EXPECT_NE(RandomPolicy::Priority(1, 2, 3, 5), base);
}

TEST(OraclePolicyTest, IsTheGoldSet) { EXPECT_TRUE(OraclePolicy().is_gold()); }

TEST(StreamingPolicyTest, HoldsItselfThenSinksThenTheLatest) {
  StreamingPolicy policy(2);
  const StepView view = View(std::vector<double>(9));
  EXPECT_EQ(Held(policy, view, 1), (std::vector<int64_t>{9}));
  EXPECT_EQ(Held(policy, view, 2), (std::vector<int64_t>{0, 9}));
  EXPECT_EQ(Held(policy, view, 5), (std::vector<int64_t>{0, 1, 7, 8, 9}));
  // Later steps, and more of them than there was room for.
  const StepView later = View(std::vector<double>(99));
  EXPECT_EQ(Held(policy, later, 4), (std::vector<int64_t>{0, 1, 98, 99}));
}

TEST(PyramidSizesTest, FallWithTheLayerAndKeepTheirSum) {
  // least (100 − 20)/20 = 4, most 2 · 80 − 4 = 156, fall (156 − 4)/3 = 50.
  EXPECT_EQ(PyramidSizes(4, 100, 20, 1000),
            (std::vector<int64_t>{175, 125, 75, 25}));
  // Clipped to the prompt: most 80, least 80.
  EXPECT_EQ(PyramidSizes(3, 100, 20, 100),
            (std::vector<int64_t>{100, 100, 100}));
  EXPECT_EQ(PyramidSizes(3, 20, 20, 1000), (std::vector<int64_t>{20, 20, 20}));
  EXPECT_EQ(PyramidSizes(1, 50, 20, 1000), (std::vector<int64_t>{50}));
  for (int64_t k = 1; k <= 130; ++k)
    for (const int64_t layers : {2, 5, 24}) {
      const std::vector<int64_t> sizes = PyramidSizes(layers, k, 8, 120);
      int64_t sum = 0;
      for (const int64_t size : sizes) {
        sum += size;
        EXPECT_GE(size, 1);
        EXPECT_LE(size, std::max<int64_t>(k, 120));
      }
      EXPECT_EQ(sum, layers * k);
    }
}

TEST(TriggerTest, FiresAsItsKindSays) {
  const Trigger entropy({"entropy", 2.0}, 1);
  EXPECT_FALSE(entropy.Fires(1, 9));
  EXPECT_FALSE(entropy.Fires(2, 2.0));
  EXPECT_TRUE(entropy.Fires(2, 2.1));
  const Trigger periodic({"periodic", 3}, 1);
  std::vector<int64_t> fired;
  for (int64_t t = 1; t <= 10; ++t)
    if (periodic.Fires(t, 0)) fired.push_back(t);
  EXPECT_EQ(fired, (std::vector<int64_t>{4, 7, 10}));
  int count = 0;
  const Trigger random({"random", 0.25}, 7);
  for (int64_t t = 2; t <= 4001; ++t) count += random.Fires(t, 0);
  EXPECT_NEAR(count, 1000, 4 * std::sqrt(4000 * 0.25 * 0.75));
  EXPECT_FALSE(Trigger({"random", 0.0}, 7).Fires(2, 0));
  EXPECT_TRUE(Trigger({"random", 1.0}, 7).Fires(2, 0));
}

TEST(PolicyRegistryTest, MakesEveryPolicyOfTheCatalog) {
  for (const PolicyEntry& entry : AllPolicies()) {
    PolicySpec spec;
    spec.name = std::string(entry.name);
    const auto policy = MakePolicy(spec, {});
    ASSERT_TRUE(policy.ok()) << policy.status();
    EXPECT_EQ((*policy)->irreversible(), entry.irreversible) << entry.name;
    EXPECT_EQ((*policy)->is_gold(), entry.name == "oracle");
  }
}

}  // namespace
}  // namespace kvrecall
