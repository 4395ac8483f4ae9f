#include "common/base/json_nesting.h"

#include <string>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

std::string Nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST(JsonNestingTest, TheDeepestIsTakenAndNoneBelow) {
  EXPECT_TRUE(CheckNesting(Nested(kDeepestJson)).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(CheckNesting(Nested(kDeepestJson + 1))));
}

TEST(JsonNestingTest, WhatIsClosedCountsNoMore) {
  std::string text;
  for (int i = 0; i < 2 * kDeepestJson; ++i) text += "{}";
  EXPECT_TRUE(CheckNesting(text).ok());
}

TEST(JsonNestingTest, BracketsInStringsAreText) {
  const std::string brackets(2 * kDeepestJson, '[');
  EXPECT_TRUE(CheckNesting("\"" + brackets + "\"").ok());
  EXPECT_TRUE(CheckNesting("\"\\\"" + brackets + "\"").ok());
  EXPECT_FALSE(CheckNesting("\"\\\\\"" + brackets).ok());
}

}  // namespace
}  // namespace kvrecall
