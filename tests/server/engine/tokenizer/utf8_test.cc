#include "server/engine/tokenizer/utf8.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

std::string Times(int n) {
  std::string text;
  while (n-- > 0) text += kReplacement;
  return text;
}

TEST(Utf8, ReplacesEachMaximalIllFormedPartOnce) {
  struct Case {
    const char* bytes;
    std::string expected;
  };
  // What Python's bytes.decode("utf-8", "replace") gives.
  const Case cases[] = {
      {"a\xFFz", "a" + Times(1) + "z"},
      {"\xC0\xAF", Times(2)},
      {"\xE0\x80\xAF", Times(3)},
      {"\xED\xA0\x80", Times(3)},
      {"\xF4\x90\x80\x80", Times(4)},
      {"\xF0\x9F\x98", Times(1)},
      {"\xF0\x9F\x98x", Times(1) + "x"},
      {"\xE2\x82\xE2\x82\xAC", Times(1) + "\u20AC"},
      {"\x80\x80", Times(2)},
      {"\U0010FFFF", "\U0010FFFF"},
  };
  for (const Case& c : cases)
    EXPECT_EQ(ReplaceInvalidUtf8(c.bytes), c.expected);
}

TEST(Utf8, TailIsIncompleteOnlyIfMoreBytesCouldCompleteIt) {
  EXPECT_EQ(IncompleteTail(""), 0u);
  EXPECT_EQ(IncompleteTail("a"), 0u);
  EXPECT_EQ(IncompleteTail("a\xE2"), 1u);
  EXPECT_EQ(IncompleteTail("a\xE2\x82"), 2u);
  EXPECT_EQ(IncompleteTail("a\u20AC"), 0u);
  EXPECT_EQ(IncompleteTail("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(IncompleteTail("\xE0\x80"), 0u);  // overlong already
  EXPECT_EQ(IncompleteTail("\x80\x80\x80\x80"), 0u);
}

// A split of any text into two never changes what is put out in the end.
TEST(Utf8, HoldingBackTheTailChangesNothing) {
  const std::string text =
      "a\u00E9\u20AC\U0001F600\xF0\x9F\xE0\x80\xE2\x82\xFFz\xF0\x90";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    std::string head = text.substr(0, cut);
    const size_t tail = IncompleteTail(head);
    const std::string rest = text.substr(cut - tail);
    head.resize(cut - tail);
    EXPECT_EQ(ReplaceInvalidUtf8(head) + ReplaceInvalidUtf8(rest),
              ReplaceInvalidUtf8(text));
  }
}

TEST(Utf8, LastCharacterStepsBackOverContinuationBytes) {
  EXPECT_EQ(LastCharacter("a"), U'a');
  EXPECT_EQ(LastCharacter("a\U0001F600"), U'\U0001F600');
  EXPECT_EQ(LastCharacter(""), U'\uFFFD');
}

TEST(Utf8, WhiteSpaceLeavesOutTheMongolianVowelSeparator) {
  EXPECT_TRUE(IsWhiteSpace(0x85));
  EXPECT_TRUE(IsWhiteSpace(0x3000));
  EXPECT_FALSE(IsWhiteSpace(0x180E));
  EXPECT_FALSE(IsWhiteSpace(0x200B));
}

}  // namespace
}  // namespace kvrecall
