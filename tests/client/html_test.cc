#include "client/report/html.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Align = TextTable::Align;

TEST(HtmlTest, TextEndsNeitherAnElementNorAnAttribute) {
  EXPECT_EQ(HtmlText("a < b > c & \"d\" 'e'"),
            "a &lt; b &gt; c &amp; &quot;d&quot; &#39;e&#39;");
  EXPECT_EQ(HtmlText("&lt;"), "&amp;lt;");
  EXPECT_EQ(HtmlText("Łódź → 東京"), "Łódź → 東京");
  EXPECT_EQ(HtmlText(""), "");
}

TEST(HtmlTest, ControlCharactersAreSpacesAndLineFeedsStay) {
  EXPECT_EQ(HtmlText(std::string("a\0b\x1B[c\r\n\td", 10)), "a b [c \n d");
}

TEST(HtmlTest, ATablesColumnsAreAlignedAsOnATerminal) {
  TextTable table({{"name <b>", Align::kLeft}, {"n"}});
  table.AddRow({"a & b", "1"});
  EXPECT_EQ(HtmlTable("T < 1", table),
            "<h3>T &lt; 1</h3>\n"
            "<div class=\"table\"><table><thead><tr>"
            "<th class=\"left\">name &lt;b&gt;</th><th>n</th></tr></thead>\n"
            "<tbody><tr><td class=\"left\">a &amp; b</td><td>1</td></tr>\n"
            "</tbody></table></div>\n");
}

TEST(HtmlTest, ATableThatWouldFillAScreenIsFolded) {
  TextTable table({{"n"}});
  for (int i = 0; i < 24; ++i) table.AddRow({"x"});
  EXPECT_THAT(HtmlTable("T", table), Not(HasSubstr("details")));
  table.AddRow({"x"});
  const std::string html = HtmlTable("T", table);
  EXPECT_THAT(html, StartsWith("<h3>T</h3>\n<details><summary>25 rows"
                               "</summary>\n<div"));
  EXPECT_TRUE(html.ends_with("</div>\n</details>\n"));
}

TEST(HtmlTest, AnImageIsInThePage) {
  EXPECT_EQ(HtmlImage(std::string("\xFF\0<svg>", 7), "image/svg+xml", "\"1\""),
            "<img alt=\"&quot;1&quot;\" "
            "src=\"data:image/svg+xml;base64,/wA8c3ZnPg==\">\n");
}

}  // namespace
}  // namespace kvrecall
