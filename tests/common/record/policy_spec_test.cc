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

TEST(PolicySpecTest, RefusesMalformedText) {
  for (const char* text : {"", "H2O", "h2o(", "h2o(w)", "h2o(w=x)", "h2o)",
                           "h2o(w=1,w=2)", "h2o(w=nan)", "h2o(=1)"})
    EXPECT_FALSE(ParsePolicySpec(text).ok()) << text;
  EXPECT_FALSE(ParsePolicySpecs("h2o,h2o").ok());
  EXPECT_FALSE(ParsePolicySpecs("h2o,").ok());
}

}  // namespace
}  // namespace kvrecall
