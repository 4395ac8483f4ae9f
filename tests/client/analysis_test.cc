// A run's analysis as people, programs and gnuplot get it.

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <variant>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/export/analysis_json.h"
#include "client/plot/figures.h"
#include "client/plot/gnuplot.h"
#include "client/render/analysis_tables.h"
#include "client/render/analysis_text.h"
#include "client/render/text_table.h"
#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Analysed {
  RunInfo run;
  RunTable table;
  RunAnalysis analysis;
};

Analysed Analyse(const FakeScript& script) {
  Analysed result;
  result.run = script.run;
  RunTableBuilder builder(script.run.config);
  for (const Event& event : script.events) EXPECT_TRUE(builder.Add(event).ok());
  auto table = builder.Build();
  EXPECT_TRUE(table.ok()) << table.status();
  result.table = *std::move(table);
  auto analysis = AnalyzeRun(result.table, {});
  EXPECT_TRUE(analysis.ok()) << analysis.status();
  result.analysis = *std::move(analysis);
  return result;
}

Analysed AnalyseWithGaps() {
  FakeScript script = MakeScript(25, 12);
  AddGaps(&script);
  return Analyse(script);
}

TEST(AnalysisTablesTest, EachHasATitleOfItsOwnAndRowsOrAWordWhyNot) {
  FakeScript script = MakeScript(25, 12);
  AddGaps(&script);
  for (const bool same_score : {false, true}) {
    for (Event& event : script.events) {
      auto* result = std::get_if<SampleResult>(&event.body);
      if (result != nullptr && same_score) result->score = 1;
    }
    const Analysed run = Analyse(script);
    int notes = 0;
    std::set<std::string> titles;
    for (const TitledTable& titled :
         AnalysisTables(run.run.config, run.analysis, /*all=*/true)) {
      EXPECT_NE(titled.title, "");
      EXPECT_TRUE(titles.insert(titled.title).second) << titled.title;
      EXPECT_EQ(titled.table.rows().empty(), !titled.note.empty())
          << titled.title;
      notes += titled.note != "";
    }
    EXPECT_GT(titles.size(), 8u);
    EXPECT_EQ(notes, same_score ? 1 : 0);
  }
}

// The terminal shows what the page shows.
TEST(AnalysisTablesTest, TheTextHasThemAllInTheirOrder) {
  const Analysed run = AnalyseWithGaps();
  for (const bool all : {false, true}) {
    const std::string text = RenderAnalysis(run.run, run.analysis, all);
    size_t at = 0;
    for (const TitledTable& titled :
         AnalysisTables(run.run.config, run.analysis, all)) {
      const size_t found =
          text.find("\n" + titled.title + "\n" + titled.table.ToString());
      ASSERT_NE(found, std::string::npos) << titled.title;
      EXPECT_GE(found, at);
      at = found;
    }
  }
}

// What is asked for by name is a superset of what is shown unasked.
TEST(AnalysisTablesTest, AllOfThemHaveMoreRowsAndNoFewerTitles) {
  const Analysed run = AnalyseWithGaps();
  const auto few = AnalysisTables(run.run.config, run.analysis, false);
  const auto all = AnalysisTables(run.run.config, run.analysis, true);
  size_t few_rows = 0, all_rows = 0;
  for (const TitledTable& titled : few) few_rows += titled.table.rows().size();
  for (const TitledTable& titled : all) all_rows += titled.table.rows().size();
  EXPECT_GE(all.size(), few.size());
  EXPECT_GT(all_rows, few_rows);
}

TEST(AnalysisTextTest, SaysTheVerdictFirstAndKeepsTo100Columns) {
  Analysed run = AnalyseWithGaps();
  run.analysis.warnings = {std::string(3, 'x') +
                           " long words of a warning "
                           "that says that pooled and within samples disagree, "
                           "so that it has to be cut into several lines"};
  for (const bool all : {false, true}) {
    const std::string text = RenderAnalysis(run.run, run.analysis, all);
    EXPECT_LT(text.find("Verdict"), text.find("Mean recall by entropy"));
    EXPECT_THAT(text, HasSubstr("recall falls as entropy rises: "));
    EXPECT_THAT(text, HasSubstr("25 samples, 300 steps"));
    EXPECT_THAT(text, HasSubstr("without_gold(0.1)"));
    EXPECT_EQ(text.find("--all") == std::string::npos, all);
    for (const absl::string_view line : absl::StrSplit(text, '\n'))
      EXPECT_LE(DisplayWidth({line.data(), line.size()}), 100) << line;
  }
  EXPECT_GT(RenderAnalysis(run.run, run.analysis, true).size(),
            RenderAnalysis(run.run, run.analysis, false).size());
}

TEST(AnalysisJsonTest, HasEveryLaneAndNullForWhatIsNotDefined) {
  const Analysed run = AnalyseWithGaps();
  const auto json = AnalysisToJson(run.run, run.analysis);
  EXPECT_EQ(json["run_id"], "run-1");
  EXPECT_EQ(json["lanes"].size(), run.table.lanes.size());
  EXPECT_EQ(json["verdict"]["policy"], "h2o");
  EXPECT_EQ(json["verdict"]["budgets"].size(), 2u);
  EXPECT_EQ(json["gaps"].size(), 2u);
  EXPECT_EQ(json["bootstrap"]["resamples"], 2000);
  for (const auto& lane : json["lanes"]) {
    EXPECT_TRUE(lane["pearson"].contains("naive_p"));
    // The oracle's recall is 1 at every step.
    EXPECT_EQ(lane["pearson"]["r"].is_null(), lane["policy"] == "oracle");
    EXPECT_EQ(lane["triggers"].size(), 5u);
    EXPECT_TRUE(lane["bins"].back()["high"].is_null()) << "infinite";
  }
}

class PlotTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "kvrecall_plot_test_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string Bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
  }

  std::string folder_;
};

TEST_F(PlotTest, FiguresAreDrawnOrSayWhatTheyLack) {
  const Analysed run = AnalyseWithGaps();
  int lacking = 0;
  for (const NamedFigure& named :
       AllFigures({run.run.run_id, run.table, run.analysis})) {
    SCOPED_TRACE(named.name);
    if (!named.figure.ok()) {
      ++lacking;
      EXPECT_EQ(named.figure.status().code(),
                absl::StatusCode::kFailedPrecondition);
      EXPECT_FALSE(named.figure.status().message().empty());
      continue;
    }
    EXPECT_EQ(named.figure->name, named.name);
    const std::string path = folder_ + "/" + named.name;
    const absl::Status drawn =
        DrawFigure(*named.figure, ImageFormat::kPng, path + ".png");
    ASSERT_TRUE(drawn.ok()) << drawn;
    EXPECT_THAT(Bytes(path + ".png"), testing::StartsWith("\x89PNG"));
    ASSERT_TRUE(
        DrawFigure(*named.figure, ImageFormat::kSvg, path + ".svg").ok());
    EXPECT_THAT(Bytes(path + ".svg"), HasSubstr("run-1"));
    ASSERT_TRUE(
        DrawFigure(*named.figure, ImageFormat::kPdf, path + ".pdf").ok());
    EXPECT_THAT(Bytes(path + ".pdf"), testing::StartsWith("%PDF"));
    EXPECT_FALSE(std::filesystem::exists(path + ".png.part"));
  }
  EXPECT_GE(lacking, 1) << "the run has no trigger";
}

TEST_F(PlotTest, AScriptThatGnuplotRefusesLeavesNoFile) {
  Figure figure;
  figure.script = "plot nonsense from nowhere\n";
  const std::string path = folder_ + "/figure.png";
  const absl::Status status = DrawFigure(figure, ImageFormat::kPng, path);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("gnuplot could not"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

// Names come from users: none of them is a command.
TEST(PlotScriptTest, TextIsNeverMoreThanText) {
  EXPECT_EQ(Quoted("a\"; system('id') #\\n\n"), "\"a'; system('id') #'n \"");
  EXPECT_EQ(Number(0.1), "0.1");
  EXPECT_EQ(Number(std::nan("")), "NaN");
  EXPECT_THAT(DataBlock("d", {"1 2", ""}), "$d << EOD\n1 2\n\nEOD\n");
}

TEST(PlotScriptTest, FormatsAreThree) {
  EXPECT_EQ(*ParseImageFormat("pdf"), ImageFormat::kPdf);
  EXPECT_THAT(std::string(ParseImageFormat("gif").status().message()),
              HasSubstr("png, svg or pdf"));
}

}  // namespace
}  // namespace kvrecall
