#include <cmath>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/telemetry/h2o.h"
#include "server/telemetry/oracle.h"
#include "server/telemetry/policy_registry.h"
#include "server/telemetry/random_policy.h"
#include "server/telemetry/selector.h"

namespace kvrecall {
namespace {

std::vector<int64_t> Held(Policy& policy, const StepView& view, int64_t k) {
  const at::Tensor weights = at::zeros({1, view.positions});
  const int64_t ks[] = {k};
  const SelectionJob job = {policy.Score(view), weights};
  const at::Tensor levels = SelectTop({&job, 1}, ks)[0].levels;
  std::vector<int64_t> held;
  for (int64_t j = 0; j < view.positions; ++j)
    if (levels[0][j].item<int64_t>() == 0) held.push_back(j);
  return held;
}

StepView View(std::vector<double> accumulated) {
  StepView view;
  view.positions = static_cast<int64_t>(accumulated.size()) + 1;
  view.accumulated = at::tensor(accumulated, at::kDouble).view({1, -1});
  return view;
}

TEST(SelectorTest, HigherScoreFirstThenLowerPosition) {
  const at::Tensor scores = at::tensor({1.0, 3.0, 1.0, 3.0, 2.0}).view({1, 5});
  const int64_t ks[] = {1, 2, 3, 4, 5};
  // The level of a position is its place in the order.
  const SelectionJob job = {{scores}, at::zeros({1, 5})};
  EXPECT_TRUE(at::equal(SelectTop({&job, 1}, ks)[0].levels,
                        at::tensor({3, 0, 4, 1, 2}, at::kByte).view({1, 5})));
}

TEST(SelectorTest, OfEqualScoresTheFirstAreKept) {
  const int64_t ks[] = {2000};
  const SelectionJob job = {{at::zeros({3, 5000})}, at::zeros({3, 5000})};
  const at::Tensor levels = SelectTop({&job, 1}, ks)[0].levels;
  EXPECT_EQ(levels.narrow(1, 0, 2000).sum().item<int64_t>(), 0);
  EXPECT_EQ(levels.sum().item<int64_t>(), 3 * 3000);
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

TEST(PolicyRegistryTest, FillsInParameters) {
  auto spec = CompletePolicySpec(*ParsePolicySpec("random"));
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->ToString(), "random(seed=0)");
  for (const PolicyEntry& entry : AllPolicies()) {
    auto complete = CompletePolicySpec({std::string(entry.name), {}});
    ASSERT_TRUE(complete.ok());
    EXPECT_TRUE(MakePolicy(*complete, {}).ok());
  }
}

TEST(PolicyRegistryTest, NamesTheNearestPolicyAndTheParameters) {
  const auto status = [](const char* text) {
    return std::string(
        CompletePolicySpec(*ParsePolicySpec(text)).status().message());
  };
  EXPECT_NE(status("h20").find("did you mean h2o"), std::string::npos);
  EXPECT_NE(status("random(sed=1)").find("it takes seed"), std::string::npos);
  EXPECT_NE(status("random(seed=0.5)").find("whole number"), std::string::npos);
  EXPECT_NE(status("h2o(self=2)").find("from 0 to 1"), std::string::npos);
  EXPECT_NE(status("oracle(k=1)").find("it takes none"), std::string::npos);
}

}  // namespace
}  // namespace kvrecall
