#include "server/telemetry/h2o_evict.h"

#include <optional>

#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

TEST(H2oEvictPolicyTest, BeginsWithHalfHeavyHalfRecent) {
  H2oEvictPolicy policy(std::nullopt);
  HeldSteps steps(policy);
  // K = 5: 2 heavy, 3 recent.
  EXPECT_EQ(steps.Step(View({9, 1, 8, 7, 0, 0, 0}), 5),
            (Positions{0, 2, 5, 6, 7}));
}

TEST(H2oEvictPolicyTest, WhatIsDroppedNeverComesBack) {
  H2oEvictPolicy policy(std::nullopt);
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(View({9, 1, 0, 0}), 4), (Positions{0, 1, 3, 4}));
  // 2 is now the heaviest, and gone. Of those before the last two, 1 is least.
  EXPECT_EQ(steps.Step(View({9, 1, 99, 2, 0}), 4), (Positions{0, 3, 4, 5}));
  EXPECT_EQ(steps.Step(View({9, 50, 99, 2, 3, 0}), 4), (Positions{0, 4, 5, 6}));
}

TEST(H2oEvictPolicyTest, OfEqualScoresTheLastGoes) {
  H2oEvictPolicy policy(std::nullopt);
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(View({1, 1, 1, 1}), 4), (Positions{0, 1, 3, 4}));
  EXPECT_EQ(steps.Step(View({1, 1, 1, 1, 1}), 4), (Positions{0, 1, 4, 5}));
}

TEST(H2oEvictPolicyTest, ATriggerChoosesFromAllPositionsAgain) {
  H2oEvictPolicy policy(Trigger({"periodic", 2}, 0));
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(View({9, 1, 0, 0}), 2), (Positions{0, 4}));
  EXPECT_EQ(steps.Step(View({9, 1, 99, 0, 0}), 2), (Positions{0, 5}));
  EXPECT_EQ(steps.Step(View({9, 1, 99, 0, 0, 0}), 2), (Positions{2, 6}));
}

TEST(H2oEvictPolicyTest, AGrowingBudgetLosesNothing) {
  H2oEvictPolicy policy(std::nullopt);
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(View({}), 1), (Positions{0}));
  EXPECT_EQ(steps.Step(View({1}), 2), (Positions{0, 1}));
  EXPECT_EQ(steps.Step(View({1, 1}), 3), (Positions{0, 1, 2}));
}

}  // namespace
}  // namespace kvrecall
