#include "server/engine/tokenizer/split_pattern.h"

#include <gtest/gtest.h>

#include "server/engine/tokenizer/pre_tokenizer.h"
#include "server/engine/tokenizer/split_regex.h"

namespace kvrecall {
namespace {

std::vector<std::string_view> Split(std::string_view pattern,
                                    std::string_view text) {
  const auto regex = SplitRegex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<std::string_view> pieces;
  if (regex.ok()) regex->Split(text, pieces);
  return pieces;
}

using Pieces = std::vector<std::string_view>;

TEST(SplitPattern, Gpt2SplitsWordsWithTheirSpace) {
  EXPECT_EQ(Split(kGpt2Pattern, "I'm 12 foxes!  x"),
            (Pieces{"I", "'m", " 12", " foxes", "!", " ", " x"}));
}

TEST(SplitPattern, WhatDoesNotMatchIsAPieceToo) {
  EXPECT_EQ(Split("\\d+", "ab12c"), (Pieces{"ab", "12", "c"}));
  EXPECT_EQ(Split("x", ""), Pieces{});
}

TEST(SplitPattern, SpaceIsUnicodesAndNotPcre2s) {
  EXPECT_EQ(Split("\\s+", "\u180E\u2003"), (Pieces{"\u180E", "\u2003"}));
  EXPECT_EQ(Split("[^\\s]+", "a\u180E\u0085b"),
            (Pieces{"a\u180E", "\u0085", "b"}));
}

TEST(SplitPattern, LettersOfUnicode16AreLetters) {
  // Garay (16.0), CJK extension I (15.1), Nag Mundari (15.0).
  const std::string_view letters = "\U00010D50\U0002EBF0\U0001E4D0";
  EXPECT_EQ(Split("\\p{L}+", letters), Pieces{letters});
  EXPECT_EQ(Split("[\\p{N}]+", "\U00010D40"), Pieces{"\U00010D40"});
  EXPECT_TRUE(Split("\\P{L}+", letters) == Pieces{letters});
}

TEST(SplitPattern, RefusesByNameWhatReadsDifferentlyOrIsUnknown) {
  for (const char* pattern :
       {"^a", "a$", "[a[b]]", "[a&&b]", "[\\S]", "[\\P{L}]", "\\p{Han}", "\\w",
        "\\b", "(*ACCEPT)", "(?i)a", "a{2}+", "a{,3}", "\\1", "\\", "[]a]"}) {
    const auto translated = OnigurumaToPcre2(pattern);
    EXPECT_EQ(translated.status().code(), absl::StatusCode::kUnimplemented)
        << pattern;
    EXPECT_NE(translated.status().message().find("not supported"),
              absl::string_view::npos);
  }
}

TEST(SplitPattern, RefusesEmptyMatchesAndBrokenPatterns) {
  for (const char* pattern : {"a*", "a|", "(a", "a)", "*"})
    EXPECT_EQ(SplitRegex::Compile(pattern).status().code(),
              absl::StatusCode::kInvalidArgument)
        << pattern;
}

}  // namespace
}  // namespace kvrecall
