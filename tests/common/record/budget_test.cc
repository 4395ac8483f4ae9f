#include "common/record/budget.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(BudgetTest, RatioIsFlooredInDoublePrecision) {
  const Budget tenth{Budget::Kind::kCurrentRatio, 0.1};
  EXPECT_EQ(tenth.Positions(100, 50), 10);
  EXPECT_EQ(tenth.Positions(99, 50), 9);
  // 0.29 · 100 is 28.999999999999996 as doubles: the definition says floor.
  EXPECT_EQ((Budget{Budget::Kind::kCurrentRatio, 0.29}).Positions(100, 1), 28);
}

TEST(BudgetTest, IsAtLeastOneAndAtMostTheLength) {
  EXPECT_EQ((Budget{Budget::Kind::kCurrentRatio, 0.1}).Positions(3, 3), 1);
  EXPECT_EQ((Budget{Budget::Kind::kCurrentRatio, 1.0}).Positions(7, 3), 7);
  EXPECT_EQ((Budget{Budget::Kind::kTokens, 64}).Positions(7, 3), 7);
}

TEST(BudgetTest, PromptRatioDoesNotGrowWithTheText) {
  const Budget half{Budget::Kind::kPromptRatio, 0.5};
  EXPECT_EQ(half.Positions(100, 40), 20);
  EXPECT_EQ(half.Positions(200, 40), 20);
}

TEST(BudgetTest, TextRoundTrips) {
  for (const char* text :
       {"0.1", "0.30000000000000004", "1.0", "prompt:0.2", "tokens:512"}) {
    auto budget = ParseBudget(text);
    ASSERT_TRUE(budget.ok()) << budget.status();
    EXPECT_EQ(budget->ToString(), text);
  }
}

TEST(BudgetTest, RefusesWhatIsNoBudget) {
  for (const char* text : {"", "x", "0", "-0.1", "1.5", "nan", "tokens:0",
                           "tokens:1.5", "prompt:2", "0.1 0.2"})
    EXPECT_FALSE(ParseBudget(text).ok()) << text;
  EXPECT_FALSE(ParseBudgets("0.1,0.1").ok());
  EXPECT_FALSE(ParseBudgets("0.1,").ok());
  EXPECT_EQ(ParseBudgets("0.1, 0.2")->size(), 2u);
}

}  // namespace
}  // namespace kvrecall
