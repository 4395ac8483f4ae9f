#include "common/base/one_line.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(OneLineTest, PlainTextStays) {
  EXPECT_EQ(OneLine(""), "");
  EXPECT_EQ(OneLine("h2o(self=1) é 漢 😀"), "h2o(self=1) é 漢 😀");
}

TEST(OneLineTest, ControlCharactersAreWritten) {
  EXPECT_EQ(OneLine("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(OneLine("\x1B[2J\x7F"), "\\x1B[2J\\x7F");
  EXPECT_EQ(OneLine(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(OneLine("\xC2\x9B"), "\\xC2\\x9B");
}

TEST(OneLineTest, WhatIsNotUtf8IsWritten) {
  for (const char* bad : {"\x80", "\xC0", "\xF5", "\xFF"})
    EXPECT_EQ(OneLine(bad).substr(0, 2), "\\x") << bad;
  EXPECT_EQ(OneLine("\xC3"), "\\xC3");
  EXPECT_EQ(OneLine("\xE0\x80\x80"), "\\xE0\\x80\\x80");
  EXPECT_EQ(OneLine("\xED\xA0\x80"), "\\xED\\xA0\\x80");
  EXPECT_EQ(OneLine("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");
  EXPECT_EQ(OneLine("\xC3("), "\\xC3(");
}

TEST(OneLineTest, LongTextIsCutBetweenCharacters) {
  EXPECT_EQ(OneLine("aaaa", 4), "aaaa");
  EXPECT_EQ(OneLine("aaaaa", 4), "aaaa…");
  EXPECT_EQ(OneLine("aaaé", 4), "aaa…");
  EXPECT_EQ(OneLine("a\n\n", 4), "a\\n…");
}

}  // namespace
}  // namespace kvrecall
