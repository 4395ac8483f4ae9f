#include "common/record/policy_catalog.h"

#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

absl::StatusOr<PolicySpec> Complete(const std::string& text) {
  return CompletePolicySpec(ParsePolicySpec(text).value());
}

std::string Completed(const std::string& text) {
  const auto spec = Complete(text);
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? spec->ToString() : "";
}

std::string Complaint(const std::string& text) {
  const absl::Status status = Complete(text).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
  return std::string(status.message());
}

TEST(PolicyCatalogTest, EveryPolicyIsThereOnceWithASummaryAndASource) {
  std::vector<std::string> names;
  for (const PolicyEntry& policy : AllPolicies()) {
    names.emplace_back(policy.name);
    EXPECT_FALSE(policy.summary.empty()) << policy.name;
    EXPECT_FALSE(policy.source.empty()) << policy.name;
    EXPECT_EQ(FindPolicy(policy.name), &policy);
  }
  EXPECT_THAT(names, ElementsAre("h2o", "h2o_window", "h2o_mean", "h2o_evict",
                                 "streaming", "snapkv", "tova", "pyramidkv",
                                 "knorm", "keydiff", "random", "oracle"));
  EXPECT_EQ(FindPolicy("h20"), nullptr);
}

// What is missing is filled in; what is given stays.
TEST(PolicyCatalogTest, CompletesParameters) {
  EXPECT_EQ(Completed("h2o"), "h2o(self=1)");
  EXPECT_EQ(Completed("h2o(self=0)"), "h2o(self=0)");
  EXPECT_EQ(Completed("snapkv(w=8)"), "snapkv(kernel=7,w=8)");
  EXPECT_EQ(Completed("tova@entropy(2)"), "tova@entropy(2)");
}

TEST(PolicyCatalogTest, EveryDefaultIsAllowed) {
  for (const PolicyEntry& policy : AllPolicies())
    EXPECT_EQ(Completed(Completed(std::string(policy.name))),
              Completed(std::string(policy.name)));
}

TEST(PolicyCatalogTest, AWrongNameGetsTheNearestOne) {
  EXPECT_THAT(Complaint("h20"), HasSubstr("unknown policy 'h20'; did you mean "
                                          "h2o? The policies are h2o, "));
  EXPECT_THAT(Complaint("snap_kv"), HasSubstr("did you mean snapkv?"));
  EXPECT_THAT(Complaint("h2o_windows"), HasSubstr("did you mean h2o_window?"));
  EXPECT_THAT(Complaint("tova@entrophy(2)"),
              HasSubstr("unknown trigger 'entrophy'; did you mean entropy?"));
}

TEST(PolicyCatalogTest, AWrongParameterGetsTheRightOnes) {
  EXPECT_THAT(Complaint("snapkv(window=8)"),
              EndsWith("no parameter 'window'; it takes kernel, w"));
  EXPECT_THAT(Complaint("knorm(w=8)"),
              EndsWith("no parameter 'w'; it takes none"));
}

TEST(PolicyCatalogTest, AParameterThatIsNearlyRightGetsTheNearestOne) {
  EXPECT_EQ(Complaint("snapkv(kernal=3)"),
            "policy 'snapkv(kernal=3)' has no parameter 'kernal'; it takes "
            "kernel, w; did you mean kernel?");
  EXPECT_THAT(Complaint("streaming(sink=2)"), EndsWith("did you mean sinks?"));
  EXPECT_THAT(Complaint("pyramidkv(ww=8)"), EndsWith("did you mean w?"));
  EXPECT_THAT(Complaint("random(k=8)"), EndsWith("it takes seed"));
}

TEST(PolicyCatalogTest, NumbersOutsideTheRangeAreRefusedWithTheRange) {
  EXPECT_THAT(Complaint("h2o_window(w=0)"),
              HasSubstr("w must be a whole number from 1 to 1048576"));
  EXPECT_THAT(Complaint("h2o_window(w=2.5)"), HasSubstr("a whole number"));
  EXPECT_THAT(Complaint("h2o(self=2)"),
              HasSubstr("self must be a whole number from 0 to 1"));
  EXPECT_THAT(Complaint("streaming(sinks=-1)"), HasSubstr("from 0 to"));
  EXPECT_THAT(Complaint("tova@entropy(-0.5)"), HasSubstr("from 0 to 100"));
  EXPECT_THAT(Complaint("tova@periodic(0)"), HasSubstr("from 1 to"));
  EXPECT_THAT(Complaint("tova@random(1.5)"), HasSubstr("from 0 to 1"));
}

TEST(PolicyCatalogTest, AKernelIsOdd) {
  EXPECT_THAT(Complaint("snapkv(kernel=6)"),
              HasSubstr("kernel must be an odd number from 1 to 1023"));
  EXPECT_THAT(Complaint("pyramidkv(kernel=1.5)"), HasSubstr("an odd number"));
  for (const char* kernel : {"1", "3", "1023"})
    EXPECT_TRUE(Complete("snapkv(kernel=" + std::string(kernel) + ")").ok());
}

TEST(PolicyCatalogTest, OnlyWhatLosesPositionsTakesATrigger) {
  std::set<std::string> taking;
  for (const PolicyEntry& policy : AllPolicies())
    if (Complete(std::string(policy.name) + "@periodic(8)").ok())
      taking.emplace(policy.name);
  EXPECT_THAT(taking, ElementsAre("h2o_evict", "tova"));
  EXPECT_THAT(Complaint("h2o@entropy(2)"),
              HasSubstr("h2o loses nothing, so it takes no trigger; h2o_evict "
                        "and tova do"));
}

TEST(PolicyCatalogTest, OnlyPyramidKvLacksAScope) {
  for (const PolicyEntry& policy : AllPolicies())
    for (Scope scope : {Scope::kGlobal, Scope::kLayer, Scope::kHead})
      EXPECT_EQ(IsDefinedIn({std::string(policy.name), {}}, scope),
                policy.name != "pyramidkv" || scope != Scope::kGlobal);
  EXPECT_TRUE(IsDefinedIn({"unheard_of", {}}, Scope::kGlobal));
}

TEST(PolicyCatalogTest, APolicyWithoutAnyScopeOfTheRunIsRefusedByName) {
  const PolicySpec pyramid{"pyramidkv", {}};
  const Scope global[] = {Scope::kGlobal};
  const Scope both[] = {Scope::kGlobal, Scope::kHead};
  EXPECT_EQ(CheckScopes(pyramid, global).message(),
            "pyramidkv gives each layer a budget of its own, so it is not "
            "defined in scope global; add layer or head");
  EXPECT_TRUE(CheckScopes(pyramid, both).ok());
  EXPECT_TRUE(CheckScopes({"h2o", {}}, global).ok());
}

TEST(PolicyListTest, AllIsEveryPolicyWithItsDefaults) {
  const auto specs = ParsePolicyList("all");
  ASSERT_TRUE(specs.ok()) << specs.status();
  ASSERT_EQ(specs->size(), AllPolicies().size());
  for (size_t i = 0; i < specs->size(); ++i)
    EXPECT_EQ((*specs)[i].ToString(), AllPolicies()[i].name);
  EXPECT_EQ(ParsePolicyList("h2o,tova")->size(), 2u);
  const auto more = ParsePolicyList("tova@periodic(4),all,snapkv(w=8)");
  ASSERT_TRUE(more.ok()) << more.status();
  ASSERT_EQ(more->size(), AllPolicies().size() + 2);
  EXPECT_EQ(more->front().ToString(), "tova@periodic(4)");
  EXPECT_EQ(more->back().ToString(), "snapkv(w=8)");
  EXPECT_EQ(ParsePolicyList("oracle,all")->size(), AllPolicies().size());
  EXPECT_FALSE(ParsePolicyList("h2o,").ok());
}

TEST(TriggerTest, EachHasASummaryAndARange) {
  std::vector<std::string> names;
  for (const TriggerEntry& trigger : AllTriggers()) {
    names.emplace_back(trigger.name);
    EXPECT_FALSE(trigger.summary.empty());
    EXPECT_LT(trigger.value.least, trigger.value.most);
  }
  EXPECT_THAT(names, ElementsAre("entropy", "periodic", "random"));
}

}  // namespace
}  // namespace kvrecall
