#include "common/records_db/lost_json.h"

#include <cstring>
#include <random>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(LostJsonTest, IsAListOfLists) {
  EXPECT_EQ(LostToJson({{3, 0.3f, " a"}, {0, 0, "\"\n\xC3\xA9"}}),
            "[[3,0.3,\" a\"],[0,0,\"\\\"\\n\xC3\xA9\"]]");
  EXPECT_EQ(LostToJson({}), "[]");
}

TEST(LostJsonTest, EveryFloatComesBackBitForBit) {
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    // Any bits that are a weight: from the smallest subnormal to 1.
    const uint32_t bits = random() % 0x3F800001u;
    float weight = 0;
    std::memcpy(&weight, &bits, sizeof weight);
    const std::vector<LostPosition> lost = {{i, weight, "t"}};
    const auto back = LostFromJson(LostToJson(lost));
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(*back, lost);
  }
}

TEST(LostJsonTest, BytesThatAreNoTextAreReplaced) {
  EXPECT_EQ(LostToJson({{1, 1, "\xFF"}}), "[[1,1,\"\xEF\xBF\xBD\"]]");
}

TEST(LostJsonTest, TokensOfAnyBytesComeBack) {
  for (const char* token : {"", " ", "a\"b", "back\\slash", "\t", "~", "\x7F",
                            "\xC3\xA9", "]", ",", "[[1,0.5,", "\\u0041"}) {
    const std::vector<LostPosition> lost = {{1, 0.5f, token}, {2, 1e-9f, " b"}};
    const auto back = LostFromJson(LostToJson(lost));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, lost);
  }
}

TEST(LostJsonTest, JsonThatIsWrittenOtherwiseIsReadToo) {
  const std::vector<LostPosition> lost = {{3, 0.25f, "A"}};
  for (const char* text :
       {"[[3,0.25,\"A\"]]", " [ [ 3 , 2.5e-1 , \"\\u0041\" ] ] ",
        "[[3,25E-2,\"A\"]]", "[[3,0.25,\"A\",null]]"}) {
    const auto back = LostFromJson(text);
    ASSERT_TRUE(back.ok()) << text << back.status();
    EXPECT_EQ(*back, lost) << text;
  }
}

TEST(LostJsonTest, WhatIsNoSuchListIsAnError) {
  for (const char* text :
       {"", "[", "[1]", "[[1,2]]", "[[1,\"x\",\"t\"]]", "[[\"1\",1,\"t\"]]",
        "[[1e300,1,\"t\"]]", "[[1,1,\"t\"]", "[[1,1,\"t\"]]]", "[[1,1,\"t\"],]",
        "[[01,1,\"t\"]]", "[[1,inf,\"t\"]]", "[[1,1,\"t]]"})
    EXPECT_TRUE(absl::IsInvalidArgument(LostFromJson(text).status())) << text;
}

}  // namespace
}  // namespace kvrecall
