#include "server/telemetry/random_policy.h"

#include <algorithm>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

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

}  // namespace
}  // namespace kvrecall
