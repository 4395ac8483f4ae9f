#include "server/telemetry/trigger.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

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

}  // namespace
}  // namespace kvrecall
