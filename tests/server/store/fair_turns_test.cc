#include "server/store/fair_turns.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace kvrecall {
namespace {

TEST(FairTurnsTest, OneClientIsAlwaysNext) {
  FairTurns turns;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(turns.Next({{"a", 100'000}}), 0u);
}

// However long one's samples are, all get the same tokens, up to a turn.
TEST(FairTurnsTest, TokensNotSamplesAreShared) {
  FairTurns turns;
  const std::vector<Waiting> waiting = {
      {"long", 30'000}, {"middle", 3'000}, {"short", 100}};
  std::map<std::string, int64_t> tokens;
  int64_t total = 0;
  while (total < 30'000'000) {
    const Waiting& next = waiting[turns.Next(waiting)];
    tokens[next.owner] += next.cost;
    total += next.cost;
  }
  for (const auto& [owner, given] : tokens)
    EXPECT_NEAR(static_cast<double>(given) / static_cast<double>(total),
                1.0 / 3, 0.01)
        << owner;
}

// One sample of a newcomer does not wait for a queue of five hundred.
TEST(FairTurnsTest, ANewcomerWaitsForATurnNotForAQueue) {
  FairTurns turns;
  for (int i = 0; i < 500; ++i) turns.Next({{"a", 8'000}});
  int before = 0;
  while (turns.Next({{"a", 8'000}, {"b", 8'000}}) != 1) ++before;
  EXPECT_LE(before, 1);
}

// Who had nothing to run for long has not saved anything up.
TEST(FairTurnsTest, NobodySavesWhileHeHasNothingToRun) {
  FairTurns turns;
  for (int i = 0; i < 500; ++i) turns.Next({{"a", 8'000}});
  int in_a_row = 0, most = 0;
  for (int i = 0; i < 100; ++i) {
    in_a_row = turns.Next({{"a", 8'000}, {"b", 8'000}}) == 1 ? in_a_row + 1 : 0;
    most = std::max(most, in_a_row);
  }
  EXPECT_LE(most, 2);
}

TEST(FairTurnsTest, ClientsThatComeAndGoAlwaysLeaveSomeoneNext) {
  FairTurns turns;
  std::mt19937 random(7);
  for (int i = 0; i < 10'000; ++i) {
    std::vector<Waiting> waiting;
    for (const char* owner : {"a", "b", "c", "d"})
      if (random() % 2 == 0)
        waiting.push_back(
            {owner, 1 + static_cast<int64_t>(random() % 200'000)});
    if (!waiting.empty()) {
      EXPECT_LT(turns.Next(waiting), waiting.size());
    }
  }
}

}  // namespace
}  // namespace kvrecall
