#include "server/telemetry/h2o_mean.h"

#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

TEST(H2oMeanPolicyTest, DividesByTheQueriesThatCouldSeeThePosition) {
  H2oMeanPolicy policy;
  // At position 4: 4, 3, 2 and 1 queries; means 1, 1.1, 0.5 and 1.2.
  const StepView view = View({4, 3.3, 1, 1.2});
  EXPECT_EQ(Held(policy, view, 2), (Positions{3, 4}));
  EXPECT_EQ(Held(policy, view, 3), (Positions{1, 3, 4}));
}

TEST(H2oMeanPolicyTest, OfEqualMeansTheFirstAreKept) {
  H2oMeanPolicy policy;
  EXPECT_EQ(Held(policy, View({6, 4, 2}), 3), (Positions{0, 1, 3}));
}

TEST(H2oMeanPolicyTest, ASinglePositionIsItsOwn) {
  H2oMeanPolicy policy;
  EXPECT_EQ(Held(policy, View({}), 1), (Positions{0}));
  EXPECT_EQ(Held(policy, View({1, 1}), 3), (Positions{0, 1, 2}));
}

}  // namespace
}  // namespace kvrecall
