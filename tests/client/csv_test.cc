#include "client/export/csv.h"

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::vector<std::string> Lines(const std::vector<std::string>& columns,
                               std::map<std::string, int64_t> attempts = {}) {
  const FakeScript script = MakeScript(/*samples=*/2, /*steps=*/3);
  std::ostringstream out;
  CsvWriter writer(out, script.run, std::move(attempts), columns);
  for (const Event& event : script.events) EXPECT_TRUE(writer.Add(event).ok());
  EXPECT_TRUE(writer.Finish().ok());
  std::vector<std::string> lines = absl::StrSplit(out.str(), "\r\n");
  EXPECT_EQ(lines.back(), "");
  lines.pop_back();
  return lines;
}

TEST(CsvTest, HasARowForEachStepAndLaneUnderTheNamesOfItsColumns) {
  const std::vector<std::string> lines = Lines({});
  ASSERT_THAT(lines, SizeIs(1 + 2 * 3 * 8));
  EXPECT_EQ(lines[0], absl::StrJoin(CsvColumns(), ","));
  const std::vector<std::string> cells = absl::StrSplit(lines[1], ',');
  ASSERT_EQ(cells.size(), CsvColumns().size());
  EXPECT_THAT(std::vector<std::string>(cells.begin(), cells.begin() + 6),
              ElementsAre("run-1", "s1", "1", "1", "20", " t"));
}

TEST(CsvTest, ColumnsComeAsTheyAreAskedFor) {
  const std::vector<std::string> lines =
      Lines({"budget", "policy", "sample", "drift", "step"});
  EXPECT_EQ(lines[0], "budget,policy,sample,drift,step");
  EXPECT_EQ(lines[1], "0.1,h2o,s1,,1");  // no drift at step 1
  EXPECT_EQ(lines[10], "tokens:4,h2o,s1,0.25,2");
}

TEST(CsvTest, OnlyTheAttemptThatCountsIsWritten) {
  EXPECT_THAT(Lines({"sample"}, {{"s1", 2}}), SizeIs(1 + 3 * 8));
}

TEST(CsvTest, UnknownAndRepeatedColumnsAreNamed) {
  EXPECT_TRUE(CheckCsvColumns({}).ok());
  EXPECT_TRUE(CheckCsvColumns(CsvColumns()).ok());
  const absl::Status unknown = CheckCsvColumns({"step", "recal"});
  EXPECT_TRUE(absl::IsInvalidArgument(unknown));
  EXPECT_THAT(std::string(unknown.message()),
              HasSubstr("no column 'recal'; there are run, sample, "));
  EXPECT_THAT(std::string(CheckCsvColumns({"step", "k", "step"}).message()),
              HasSubstr("'step' is given twice"));
}

TEST(CsvTest, CellsAreQuotedWhereTheyMust) {
  EXPECT_EQ(CsvCell(" plain"), " plain");
  EXPECT_EQ(CsvCell("a,b"), "\"a,b\"");
  EXPECT_EQ(CsvCell("say \"x\"\n"), "\"say \"\"x\"\"\n\"");
}

}  // namespace
}  // namespace kvrecall
