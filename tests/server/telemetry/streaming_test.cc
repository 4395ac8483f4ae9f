#include "server/telemetry/streaming.h"

#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

TEST(StreamingPolicyTest, HoldsItselfThenSinksThenTheLatest) {
  StreamingPolicy policy(2);
  const StepView view = View(std::vector<double>(9));
  EXPECT_EQ(Held(policy, view, 1), (Positions{9}));
  EXPECT_EQ(Held(policy, view, 2), (Positions{0, 9}));
  EXPECT_EQ(Held(policy, view, 5), (Positions{0, 1, 7, 8, 9}));
  // Later steps, and more of them than there was room for.
  const StepView later = View(std::vector<double>(99));
  EXPECT_EQ(Held(policy, later, 4), (Positions{0, 1, 98, 99}));
}

TEST(StreamingPolicyTest, WithoutSinksTheLatestAreHeld) {
  StreamingPolicy policy(0);
  EXPECT_EQ(Held(policy, View({5, 5, 5}), 2), (Positions{2, 3}));
}

TEST(StreamingPolicyTest, MoreSinksThanPositionsHoldEverything) {
  StreamingPolicy policy(100);
  EXPECT_EQ(Held(policy, View({0, 0}), 3), (Positions{0, 1, 2}));
  EXPECT_EQ(Held(policy, View({}), 1), (Positions{0}));
}

}  // namespace
}  // namespace kvrecall
