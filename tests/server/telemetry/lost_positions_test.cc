#include "server/telemetry/lost_positions.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

// The slow twin: all that was lost, sorted, cut.
std::vector<LostPosition> Sorted(const std::vector<int16_t>& gold,
                                 const std::vector<int16_t>& held,
                                 const std::vector<float>& weights,
                                 int budget) {
  std::vector<LostPosition> lost;
  for (size_t j = 0; j < weights.size(); ++j) {
    if ((gold[j] >> budget & 1) == 1 && (held[j] >> budget & 1) == 0)
      lost.push_back({static_cast<int64_t>(j), weights[j], ""});
  }
  std::stable_sort(lost.begin(), lost.end(),
                   [](const LostPosition& a, const LostPosition& b) {
                     return a.weight > b.weight;
                   });
  if (lost.size() > kMostLost) lost.resize(kMostLost);
  return lost;
}

TEST(LostPositionsTest, AreTheMostAttendedOfWhatIsGoldAndNotHeld) {
  const std::vector<int16_t> gold = {1, 1, 0, 3, 1, 1, 1, 1};
  const std::vector<int16_t> held = {0, 1, 0, 1, 0, 0, 0, 0};
  const std::vector<float> weights = {.1f, .9f, .8f, .7f, .3f, .2f, .4f, .1f};
  const auto lost = FindLost(gold, held, weights, 2);
  ASSERT_EQ(lost.size(), 2u);
  EXPECT_EQ(lost[0],
            (std::vector<LostPosition>{
                {6, .4f, ""}, {4, .3f, ""}, {5, .2f, ""}, {0, .1f, ""}}));
  EXPECT_EQ(lost[1], (std::vector<LostPosition>{{3, .7f, ""}}));
}

TEST(LostPositionsTest, NothingLostIsAnEmptyList) {
  const std::vector<int16_t> gold = {1, 0};
  const auto lost = FindLost(gold, gold, std::vector<float>{.5f, .5f}, 1);
  EXPECT_TRUE(lost.at(0).empty());
}

// Sixteen budgets, so that the sign bit of a mask is one; few different
// weights, so that there are ties.
TEST(LostPositionsTest, EqualTheSlowTwin) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const size_t n = 1 + random() % 60;
    std::vector<int16_t> gold(n), held(n);
    std::vector<float> weights(n);
    for (size_t j = 0; j < n; ++j) {
      gold[j] = static_cast<int16_t>(random());
      held[j] = static_cast<int16_t>(random());
      weights[j] = static_cast<float>(random() % 8) / 8;
    }
    const auto lost = FindLost(gold, held, weights, 16);
    for (int b = 0; b < 16; ++b) {
      // As unsigned, so that the shift brings in zeros.
      const auto bits = [](std::vector<int16_t> masks, int budget) {
        for (int16_t& mask : masks)
          mask =
              static_cast<int16_t>(static_cast<uint16_t>(mask) >> budget & 1);
        return masks;
      };
      EXPECT_EQ(lost.at(static_cast<size_t>(b)),
                Sorted(bits(gold, b), bits(held, b), weights, 0))
          << "round " << round << ", budget " << b;
    }
  }
}

}  // namespace
}  // namespace kvrecall
