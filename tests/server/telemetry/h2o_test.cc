#include "server/telemetry/h2o.h"

#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

TEST(H2oPolicyTest, KeepsTheHeaviestAndItsOwnPosition) {
  H2oPolicy policy(true);
  const StepView view = View({5, 1, 4, 2});
  EXPECT_EQ(Held(policy, view, 1), (Positions{4}));
  EXPECT_EQ(Held(policy, view, 3), (Positions{0, 2, 4}));
  EXPECT_EQ(Held(policy, view, 5), (Positions{0, 1, 2, 3, 4}));
}

TEST(H2oPolicyTest, WithoutSelfItsOwnPositionCompetesWithNoScore) {
  H2oPolicy policy(false);
  EXPECT_EQ(Held(policy, View({5, 1, 4, 2}), 2), (Positions{0, 2}));
  // A tie at 0 goes to the lower position.
  EXPECT_EQ(Held(policy, View({5, 0, 0}), 2), (Positions{0, 1}));
}

TEST(H2oPolicyTest, TheFirstPositionOfATextHasNoHistory) {
  H2oPolicy policy(true);
  EXPECT_EQ(Held(policy, View({}), 1), (Positions{0}));
}

TEST(H2oPolicyTest, OfEqualScoresTheFirstAreKept) {
  H2oPolicy policy(true);
  EXPECT_EQ(Held(policy, View({2, 2, 2, 2}), 3), (Positions{0, 1, 4}));
}

}  // namespace
}  // namespace kvrecall
