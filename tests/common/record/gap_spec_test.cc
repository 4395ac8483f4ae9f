#include "common/record/gap_spec.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/run_config.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(GapSpecTest, TextRoundTrips) {
  for (const char* text :
       {"without_gold(0.1)", "without_gold(prompt:0.25,layer)",
        "only_pred(h2o,0.1)", "only_pred(snapkv(kernel=3,w=8),tokens:64,head)",
        "only_pred(h2o_evict@entropy(2.5),0.1,layer)"}) {
    const auto gap = ParseGapSpec(text);
    ASSERT_TRUE(gap.ok()) << gap.status();
    EXPECT_EQ(gap->ToString(), text);
    EXPECT_EQ(ParseGapSpec(gap->ToString()).value(), *gap);
  }
}

TEST(GapSpecTest, SpacesAndTheDefaultScopeAreNotWritten) {
  const auto gap = ParseGapSpec(" only_pred( h2o , 0.1 , global ) ");
  ASSERT_TRUE(gap.ok()) << gap.status();
  EXPECT_EQ(gap->ToString(), "only_pred(h2o,0.1)");
}

TEST(GapSpecTest, ReadsEveryPart) {
  const GapSpec gap = ParseGapSpec("only_pred(tova,tokens:8,head)").value();
  EXPECT_EQ(gap.kind, GapSpec::Kind::kOnlyPred);
  EXPECT_EQ(gap.policy.name, "tova");
  EXPECT_EQ(gap.budget, (Budget{Budget::Kind::kTokens, 8}));
  EXPECT_EQ(gap.scope, Scope::kHead);
}

TEST(GapSpecTest, WhatIsNoLaneIsRefusedWithAnExample) {
  for (const char* text :
       {"", "gold(0.1)", "without_gold", "without_gold()", "without_gold(2)",
        "without_gold(0.1,h2o)", "without_gold(0.1,layer,1)", "only_pred(0.1)",
        "only_pred(h2o)", "only_pred(H2O,0.1)", "only_pred(h2o,0.1",
        "only_pred(h2o,0.1,tower)", "only_pred(h2o,0.1,layer,0.2)"})
    EXPECT_TRUE(absl::IsInvalidArgument(ParseGapSpec(text).status())) << text;
  EXPECT_THAT(std::string(ParseGapSpec("gold(0.1)").status().message()),
              HasSubstr("gap lane 'gold(0.1)': the lanes are without_gold and "
                        "only_pred; write it like without_gold(0.1)"));
}

TEST(GapSpecsTest, CommasInsideParenthesesBelongToTheLane) {
  const auto gaps = ParseGapSpecs(
      "without_gold(0.1), only_pred(snapkv(w=8,kernel=3),0.1,layer)");
  ASSERT_TRUE(gaps.ok()) << gaps.status();
  ASSERT_EQ(gaps->size(), 2u);
  EXPECT_EQ((*gaps)[1].policy.ToString(), "snapkv(kernel=3,w=8)");
  EXPECT_FALSE(ParseGapSpecs("").ok());
  EXPECT_FALSE(ParseGapSpecs("without_gold(0.1),").ok());
  EXPECT_THAT(
      std::string(ParseGapSpecs("without_gold(0.1),without_gold(0.1,global)")
                      .status()
                      .message()),
      HasSubstr("without_gold(0.1) is given twice"));
}

RunConfig Config(const char* policies, const char* scopes,
                 const char* budgets) {
  RunConfig config;
  config.policies = *ParsePolicySpecs(policies);
  config.scopes = *ParseScopes(scopes);
  config.budgets = *ParseBudgets(budgets);
  return config;
}

std::vector<std::string> DefaultTexts(const RunConfig& config) {
  std::vector<std::string> texts;
  for (const GapSpec& gap : DefaultGaps(config))
    texts.push_back(gap.ToString());
  return texts;
}

TEST(DefaultGapsTest, AreTheGoldSetAndH2oAtEachBudget) {
  EXPECT_THAT(DefaultTexts(Config("random,h2o", "layer,global", "0.1,0.2")),
              ElementsAre("without_gold(0.1)", "without_gold(0.2)",
                          "only_pred(h2o,0.1)", "only_pred(h2o,0.2)"));
}

TEST(DefaultGapsTest, WithoutH2oItIsTheFirstPolicyButTheOracle) {
  EXPECT_THAT(
      DefaultTexts(Config("oracle,tova,random", "layer", "0.1")),
      ElementsAre("without_gold(0.1,layer)", "only_pred(tova,0.1,layer)"));
  EXPECT_THAT(DefaultTexts(Config("oracle", "global", "0.1")),
              ElementsAre("without_gold(0.1)"));
}

TEST(DefaultGapsTest, APolicyWithoutTheScopeIsPassedOver) {
  EXPECT_THAT(DefaultTexts(Config("pyramidkv,tova", "global,layer", "0.1")),
              ElementsAre("without_gold(0.1)", "only_pred(tova,0.1)"));
  EXPECT_THAT(
      DefaultTexts(Config("pyramidkv,tova", "layer", "0.1")),
      ElementsAre("without_gold(0.1,layer)", "only_pred(pyramidkv,0.1,layer)"));
}

TEST(DefaultGapsTest, AScopeThatOnlyTheOracleHasIsPassedOver) {
  EXPECT_THAT(
      DefaultTexts(Config("oracle,pyramidkv", "global,head,layer", "0.1")),
      ElementsAre("without_gold(0.1,head)", "only_pred(pyramidkv,0.1,head)"));
}

TEST(DefaultGapsTest, AreLanesThatTheRunSimulates) {
  for (const char* policies : {"h2o", "pyramidkv,h2o", "pyramidkv"}) {
    RunConfig config = Config(policies, "global,head", "0.1,tokens:4");
    config.gaps = DefaultGaps(config);
    ASSERT_TRUE(CompleteGaps(config).ok()) << CompleteGaps(config).status();
    EXPECT_EQ(*CompleteGaps(config), config.gaps);
  }
}

absl::StatusOr<std::vector<GapSpec>> Completed(const char* policies,
                                               const char* gaps) {
  RunConfig config = Config(policies, "global,layer", "0.1");
  config.gaps = *ParseGapSpecs(gaps);
  return CompleteGaps(config);
}

// What is said of one run with the lanes of `gaps`.
std::string Complaint(const char* gaps) {
  const absl::Status status = Completed("h2o,pyramidkv", gaps).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << gaps;
  return std::string(status.message());
}

TEST(CompleteGapsTest, APolicyIsTheSameHoweverItIsSpelled) {
  for (const auto& [policy, lane] :
       {std::pair{"h2o", "only_pred(h2o(self=1),0.1)"},
        {"h2o(self=1)", "only_pred(h2o,0.1)"},
        {"snapkv(w=32)", "only_pred(snapkv(kernel=7),0.1)"}}) {
    const auto gaps = Completed(policy, lane);
    ASSERT_TRUE(gaps.ok()) << gaps.status();
    EXPECT_EQ((*gaps)[0].policy.ToString(), policy);
  }
  EXPECT_THAT(Complaint("only_pred(h2o(self=0),0.1)"),
              HasSubstr("does not simulate policy h2o(self=0); add it"));
  EXPECT_THAT(Complaint("only_pred(h2o,0.1),only_pred(h2o(self=1),0.1)"),
              HasSubstr("only_pred(h2o,0.1) is given twice"));
}

TEST(CompleteGapsTest, WhatIsNoPolicyGetsTheNearestOne) {
  EXPECT_THAT(Complaint("only_pred(h20,0.1)"),
              HasSubstr("gap lane 'only_pred(h20,0.1)': unknown policy 'h20'; "
                        "did you mean h2o?"));
  EXPECT_THAT(Complaint("only_pred(h2o(sel=1),0.1)"),
              HasSubstr("has no parameter 'sel'; it takes self; did you mean "
                        "self?"));
}

TEST(CompleteGapsTest, NamesWhatTheRunLacks) {
  EXPECT_THAT(Complaint("without_gold(0.2)"),
              HasSubstr("does not simulate budget 0.2; add it to its budgets"));
  EXPECT_THAT(Complaint("without_gold(0.1,head)"),
              HasSubstr("does not simulate scope head; add it to its scopes"));
  EXPECT_THAT(
      Complaint("only_pred(tova,0.1)"),
      HasSubstr("does not simulate policy tova; add it to its policies"));
  EXPECT_THAT(Complaint("only_pred(pyramidkv,0.1)"),
              HasSubstr("pyramidkv is not defined in scope global"));
}

TEST(CompleteGapsTest, RefusesALaneTwiceAndTooMany) {
  RunConfig config = Config("h2o", "global", "0.1");
  config.gaps = {ParseGapSpec("without_gold(0.1)").value(),
                 ParseGapSpec("without_gold(0.1)").value()};
  EXPECT_THAT(std::string(CompleteGaps(config).status().message()),
              HasSubstr("without_gold(0.1) is given twice"));
  config.gaps.clear();
  config.budgets.clear();
  for (int tokens = 1; tokens <= kMaxGaps + 1; ++tokens) {
    const Budget budget{Budget::Kind::kTokens, static_cast<double>(tokens)};
    config.budgets.push_back(budget);
    config.gaps.push_back({GapSpec::Kind::kWithoutGold, {}, budget});
  }
  EXPECT_THAT(std::string(CompleteGaps(config).status().message()),
              HasSubstr("65 gap lanes; at most 64"));
  config.gaps.pop_back();
  EXPECT_TRUE(CompleteGaps(config).ok());
}

}  // namespace
}  // namespace kvrecall
