#include "server/store/pace.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

absl::Time At(double seconds) { return absl::FromUnixMillis(1000 * seconds); }

TEST(PaceTest, IsUnknownUntilTwoHaveEnded) {
  Pace pace;
  EXPECT_EQ(pace.TimeForOne(), absl::Seconds(5));
  pace.Ended(1, At(10));
  EXPECT_EQ(pace.TimeForOne(), absl::Seconds(5));
  pace.Ended(1, At(12));
  EXPECT_EQ(pace.TimeForOne(), absl::Seconds(2));
}

TEST(PaceTest, FollowsTheLastFew) {
  Pace pace;
  for (int i = 0; i < 20; ++i) pace.Ended(1, At(10 * i));
  EXPECT_EQ(pace.TimeForOne(), absl::Seconds(10));
  for (int i = 1; i <= 40; ++i) pace.Ended(2, At(190 + 4 * i));
  EXPECT_NEAR(absl::ToDoubleSeconds(pace.TimeForOne()), 2, 0.01);
}

TEST(PaceTest, ATimeWithNothingToDoIsNoPace) {
  Pace pace;
  pace.Ended(1, At(0));
  pace.Ended(1, At(2));
  pace.Pause();
  pace.Ended(1, At(30'000));
  EXPECT_EQ(pace.TimeForOne(), absl::Seconds(2));
}

TEST(PaceTest, StaysWithinWhatAClientCanUse) {
  Pace pace;
  pace.Ended(1, At(0));
  pace.Ended(1, At(10'000));
  EXPECT_EQ(pace.TimeForOne(), absl::Minutes(1));
  for (int i = 1; i <= 100; ++i) pace.Ended(1000, At(10'000 + 0.001 * i));
  EXPECT_EQ(pace.TimeForOne(), absl::Milliseconds(500));
  pace.Ended(0, At(20'000));  // nothing has ended: nothing is learned
  EXPECT_EQ(pace.TimeForOne(), absl::Milliseconds(500));
}

}  // namespace
}  // namespace kvrecall
