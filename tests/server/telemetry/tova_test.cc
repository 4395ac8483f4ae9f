#include "server/telemetry/tova.h"

#include <optional>

#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

TEST(TovaPolicyTest, DropsTheLeastAttendedOfThePreviousQuery) {
  TovaPolicy policy(std::nullopt);
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(ViewAfter({0.4f, 0.1f, 0.5f}), 3), (Positions{0, 2, 3}));
  // 1 is gone, however much it draws now; of the held, 0 draws least.
  EXPECT_EQ(steps.Step(ViewAfter({0.1f, 0.5f, 0.2f, 0.2f}), 3),
            (Positions{2, 3, 4}));
}

TEST(TovaPolicyTest, OfEqualWeightsTheLastGoes) {
  TovaPolicy policy(std::nullopt);
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(ViewAfter({0.3f, 0.3f, 0.3f}), 3), (Positions{0, 1, 3}));
  EXPECT_EQ(steps.Step(ViewAfter({0.3f, 0.3f, 0.3f, 0.1f}), 3),
            (Positions{0, 1, 4}));
}

TEST(TovaPolicyTest, ItsOwnPositionIsNeverDropped) {
  TovaPolicy policy(std::nullopt);
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(ViewAfter({}), 1), (Positions{0}));
  EXPECT_EQ(steps.Step(ViewAfter({1.0f}), 1), (Positions{1}));
}

TEST(TovaPolicyTest, ATriggerChoosesFromAllPositionsAgain) {
  TovaPolicy policy(Trigger({"periodic", 1}, 0));
  HeldSteps steps(policy);
  EXPECT_EQ(steps.Step(ViewAfter({0.4f, 0.1f}), 2), (Positions{0, 2}));
  EXPECT_EQ(steps.Step(ViewAfter({0.1f, 0.5f, 0.2f}), 2), (Positions{1, 3}));
}

}  // namespace
}  // namespace kvrecall
