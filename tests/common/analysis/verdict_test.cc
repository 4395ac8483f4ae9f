#include "common/analysis/verdict.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

BudgetEvidence Good() {
  BudgetEvidence evidence;
  evidence.slope = -0.2;
  evidence.slope_interval = Interval{-0.3, -0.1};
  evidence.has_larger = true;
  evidence.difference = -0.1;
  evidence.difference_interval = Interval{-0.2, -0.01};
  evidence.low = {300, 40, 0.9, Interval{0.8, 0.95}};
  evidence.high = {30, 10, 0.4, Interval{0.3, 0.49}};
  return evidence;
}

TEST(VerdictTest, SupportsWhatItsIntervalsShow) {
  const BudgetVerdict verdict = Judge(Good(), 20);
  EXPECT_EQ(verdict.falls.finding, Finding::kSupported);
  EXPECT_EQ(verdict.stronger->finding, Finding::kSupported);
  EXPECT_EQ(verdict.criterion.finding, Finding::kSupported)
      << verdict.criterion.reason;
}

TEST(VerdictTest, AnIntervalThatReachesTheBoundShowsNothing) {
  BudgetEvidence evidence = Good();
  evidence.slope_interval->high = 0;
  evidence.difference_interval->high = 0.01;
  evidence.low.interval->low = 0.799;
  BudgetVerdict verdict = Judge(evidence, 20);
  EXPECT_EQ(verdict.falls.finding, Finding::kNotSupported);
  EXPECT_EQ(verdict.stronger->finding, Finding::kNotSupported);
  EXPECT_EQ(verdict.criterion.finding, Finding::kNotSupported);
  evidence = Good();
  evidence.high.interval->high = 0.5;
  EXPECT_EQ(Judge(evidence, 20).criterion.finding, Finding::kNotSupported);
}

TEST(VerdictTest, NeedsEnoughOfEverything) {
  const BudgetVerdict few = Judge(Good(), 19);
  EXPECT_EQ(few.falls.finding, Finding::kNotEnoughData);
  EXPECT_EQ(few.stronger->finding, Finding::kNotEnoughData);
  EXPECT_EQ(few.criterion.finding, Finding::kNotEnoughData);
  BudgetEvidence evidence = Good();
  evidence.high.steps = 29;
  BudgetVerdict verdict = Judge(evidence, 20);
  EXPECT_EQ(verdict.criterion.finding, Finding::kNotEnoughData);
  EXPECT_EQ(verdict.falls.finding, Finding::kSupported);
  EXPECT_NE(verdict.criterion.reason.find("high bin: 29 steps"),
            std::string::npos);
  evidence = Good();
  evidence.low.samples = 9;
  EXPECT_EQ(Judge(evidence, 20).criterion.finding, Finding::kNotEnoughData);
  evidence = Good();
  evidence.slope.reset();
  EXPECT_EQ(Judge(evidence, 20).falls.finding, Finding::kNotEnoughData);
}

TEST(VerdictTest, TheLargestBudgetIsComparedWithNone) {
  BudgetEvidence evidence = Good();
  evidence.has_larger = false;
  EXPECT_FALSE(Judge(evidence, 20).stronger);
}

}  // namespace
}  // namespace kvrecall
