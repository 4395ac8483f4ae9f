#include "server/engine/tokenizer/nfc.h"

#include <chrono>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(Nfc, ComposesAndReorders) {
  EXPECT_EQ(NormalizeNfc("cafe\u0301"), "caf\u00E9");
  EXPECT_EQ(NormalizeNfc("a\u0301\u0323"), "\u1EA1\u0301");
  EXPECT_EQ(NormalizeNfc("\u1112\u1161\u11AB"), "\uD55C");
  EXPECT_EQ(NormalizeNfc("\u212B"), "\u00C5");
  EXPECT_EQ(NormalizeNfc("\u0958"), "\u0915\u093C");  // composition excluded
  EXPECT_EQ(NormalizeNfc(""), "");
}

TEST(Nfc, CharactersNewerThanTheLibrarysTablesStayWhereTheyAre) {
  EXPECT_EQ(NormalizeNfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(NormalizeNfc("a\u0345\u08CA"), "a\u0345\u08CA");
}

TEST(Nfc, LongRunsOfMarksAreNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 200000; ++i) text += i % 2 == 0 ? "\u0345" : "\u0334";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(NormalizeNfc(text).size(), text.size());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace kvrecall
