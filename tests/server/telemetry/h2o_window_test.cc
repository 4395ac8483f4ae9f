#include "server/telemetry/h2o_window.h"

#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

TEST(H2oWindowPolicyTest, KeepsTheLastAndTheHeaviestOfTheRest) {
  H2oWindowPolicy policy(2);
  EXPECT_EQ(Held(policy, View({1, 5, 4, 9}), 3), (Positions{1, 3, 4}));
}

TEST(H2oWindowPolicyTest, OfEqualScoresTheFirstAreKept) {
  H2oWindowPolicy policy(1);
  EXPECT_EQ(Held(policy, View({3, 3, 3}), 3), (Positions{0, 1, 3}));
}

TEST(H2oWindowPolicyTest, ABudgetWithinTheWindowHoldsTheLastOnly) {
  H2oWindowPolicy policy(3);
  EXPECT_EQ(Held(policy, View({9, 9, 0, 0}), 2), (Positions{3, 4}));
  EXPECT_EQ(Held(policy, View({9, 9, 0, 0}), 3), (Positions{2, 3, 4}));
}

TEST(H2oWindowPolicyTest, AWindowLongerThanTheTextHoldsItsEnd) {
  H2oWindowPolicy policy(100);
  EXPECT_EQ(Held(policy, View({9, 9}), 2), (Positions{1, 2}));
  EXPECT_EQ(Held(policy, View({}), 1), (Positions{0}));
}

TEST(H2oWindowPolicyTest, TheWholeBudgetHoldsEverything) {
  H2oWindowPolicy policy(2);
  EXPECT_EQ(Held(policy, View({1, 2, 3}), 4), (Positions{0, 1, 2, 3}));
}

}  // namespace
}  // namespace kvrecall
