#include "common/record/run_config.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

RunConfig Config(const char* policies, const char* scopes,
                 const char* budgets) {
  RunConfig config;
  config.policies = *ParsePolicySpecs(policies);
  config.scopes = *ParseScopes(scopes);
  config.budgets = *ParseBudgets(budgets);
  return config;
}

// "policy scope budget" of each lane.
std::vector<std::string> Texts(const RunConfig& config) {
  std::vector<std::string> texts;
  for (const Lane& lane : Lanes(config))
    texts.push_back(config.policies[lane.policy].ToString() + " " +
                    std::string(ScopeName(config.scopes[lane.scope])) + " " +
                    config.budgets[lane.budget].ToString());
  return texts;
}

TEST(LanesTest, GoByPolicyThenScopeThenBudget) {
  EXPECT_THAT(
      Texts(Config("h2o,random", "global,layer", "0.1,0.2")),
      ElementsAre("h2o global 0.1", "h2o global 0.2", "h2o layer 0.1",
                  "h2o layer 0.2", "random global 0.1", "random global 0.2",
                  "random layer 0.1", "random layer 0.2"));
}

TEST(LanesTest, APolicyHasNoLaneInAScopeThatItIsNotDefinedIn) {
  EXPECT_THAT(
      Texts(Config("pyramidkv,h2o", "head,global", "0.1")),
      ElementsAre("pyramidkv head 0.1", "h2o head 0.1", "h2o global 0.1"));
  EXPECT_TRUE(Lanes(Config("pyramidkv", "global", "0.1")).empty());
}

TEST(LanesTest, EveryScopeCounts) {
  EXPECT_EQ(Lanes(Config("h2o", "global,layer,head", "0.1,0.2,0.3")).size(),
            9u);
}

TEST(ForceTest, NamesRoundTripAndAnotherIsRefusedWithTheRightOnes) {
  for (Force force : {Force::kNone, Force::kGold, Force::kText})
    EXPECT_EQ(ParseForce(ForceName(force)).value(), force);
  const absl::Status status = ParseForce("Gold").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("'Gold'; give none, gold or text"));
}

}  // namespace
}  // namespace kvrecall
