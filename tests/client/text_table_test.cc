#include "client/render/text_table.h"

#include "gtest/gtest.h"

namespace kvrecall {
namespace {

TEST(TextTableTest, AlignsColumnsByCodePointsAndTrimsLineEnds) {
  TextTable table({{"name", TextTable::Align::kLeft},
                   {"n"},
                   {"note", TextTable::Align::kLeft}});
  table.AddRow({"é", "10", ""});
  table.AddRow({"abcdef", "–", "x"});
  EXPECT_EQ(table.ToString(),
            "name     n  note\n"
            "é       10\n"
            "abcdef   –  x\n");
}

TEST(TextTableTest, WithoutRowsPrintsTheHeader) {
  EXPECT_EQ(TextTable({{"a"}, {"b"}}).ToString(), "a  b\n");
}

TEST(TextTableTest, MissingCellsAreEmpty) {
  TextTable table({{"a"}, {"b"}});
  table.AddRow({"1"});
  EXPECT_EQ(table.ToString(), "a  b\n1\n");
}

}  // namespace
}  // namespace kvrecall
