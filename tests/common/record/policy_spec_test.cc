#include "common/record/policy_spec.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(PolicySpecTest, TextRoundTripsInCanonicalOrder) {
  auto spec = ParsePolicySpec(" snapkv( w=32 , kernel=7)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->ToString(), "snapkv(kernel=7,w=32)");
  EXPECT_EQ(*ParsePolicySpec(spec->ToString()), *spec);
  EXPECT_EQ(ParsePolicySpec("x(theta=2.5)")->ToString(), "x(theta=2.5)");
  EXPECT_EQ(ParsePolicySpec("h2o()")->ToString(), "h2o");
}

TEST(PolicySpecTest, CommasInsideParenthesesBelongToThePolicy) {
  auto specs = ParsePolicySpecs("h2o,snapkv(w=32,kernel=7),random(seed=1)");
  ASSERT_TRUE(specs.ok()) << specs.status();
  EXPECT_EQ(specs->size(), 3u);
}

TEST(PolicySpecTest, NumbersAreWrittenExactlyAndWholeOnesAsSuch) {
  EXPECT_EQ(NumberText(32), "32");
  EXPECT_EQ(NumberText(1048576), "1048576");
  EXPECT_EQ(NumberText(9007199254740991), "9007199254740991");
  EXPECT_EQ(NumberText(0.1), "0.1");
  EXPECT_EQ(NumberText(-2.5), "-2.5");
}

TEST(PolicySpecTest, ATriggerStandsBehindThePolicy) {
  const auto spec = ParsePolicySpec("h2o_evict(a=1)@entropy(2.0)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->name, "h2o_evict");
  ASSERT_TRUE(spec->trigger.has_value());
  EXPECT_EQ(*spec->trigger, (TriggerSpec{"entropy", 2}));
  EXPECT_EQ(spec->ToString(), "h2o_evict(a=1)@entropy(2)");
  EXPECT_EQ(*ParsePolicySpec(spec->ToString()), *spec);
  EXPECT_EQ(ParsePolicySpec("tova@random(0.1)")->ToString(),
            "tova@random(0.1)");
  EXPECT_NE(*ParsePolicySpec("tova"), *ParsePolicySpec("tova@random(0.1)"));
}

TEST(PolicySpecTest, APolicyWithTwoTriggersIsTwoPolicies) {
  const auto specs =
      ParsePolicySpecs("tova,tova@entropy(1),tova@entropy(2),tova@periodic(2)");
  ASSERT_TRUE(specs.ok()) << specs.status();
  EXPECT_EQ(specs->size(), 4u);
  EXPECT_FALSE(ParsePolicySpecs("tova@entropy(2),tova@entropy(2.0)").ok());
}

TEST(PolicySpecTest, RefusesMalformedTriggers) {
  for (const char* text :
       {"tova@", "tova@entropy", "tova@entropy()", "tova@entropy(x)",
        "tova@entropy(inf)", "tova@entropy(2", "tova@(2)", "tova@Entropy(2)",
        "tova@entropy(1)@periodic(2)", "@entropy(2)"})
    EXPECT_FALSE(ParsePolicySpec(text).ok()) << text;
}

TEST(PolicySpecTest, RefusesMalformedText) {
  for (const char* text : {"", "H2O", "h2o(", "h2o(w)", "h2o(w=x)", "h2o)",
                           "h2o(w=1,w=2)", "h2o(w=nan)", "h2o(=1)"})
    EXPECT_FALSE(ParsePolicySpec(text).ok()) << text;
  EXPECT_FALSE(ParsePolicySpecs("h2o,h2o").ok());
  EXPECT_FALSE(ParsePolicySpecs("h2o,").ok());
}

}  // namespace
}  // namespace kvrecall
