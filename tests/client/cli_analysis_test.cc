// Command lines that look at a recorded run.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/commands/command.h"
#include "tests/client/cli_testing.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class CliAnalysisTest : public CliTest {};

TEST_F(CliAnalysisTest, AnalyzePrintsTheVerdictOrJson) {
  Start(MakeScript(21, 6));
  EXPECT_EQ(Run({"analyze", "run-1"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("Verdict"));
  EXPECT_THAT(out_.str(), HasSubstr("2000 resamples, seed 0"));
  EXPECT_EQ(Run({"analyze", "run-1", "--json", "--seed", "7", "--tau", "0.4",
                 "--quantile-bins", "4"}),
            kExitOk)
      << err_.str();
  const json analysis = json::parse(out_.str());
  EXPECT_EQ(analysis["bootstrap"]["seed"], 7);
  EXPECT_EQ(analysis["tau"], 0.4);
  EXPECT_EQ(analysis["lanes"][0]["bins"].size(), 4u);
  EXPECT_EQ(Run({"analyze", "run-1", "--bins", "0,1,inf"}), kExitOk)
      << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("1 and up"));
  EXPECT_EQ(Run({"analyze", "run-1", "--bins", "1,0"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("edges[1] is 0"));
  EXPECT_EQ(Run({"analyze", "run-1", "--resamples", "10"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("at least 2000"));
}

TEST_F(CliAnalysisTest, AnalyzeOfNothingSaysSo) {
  FakeScript script = MakeScript(1, 1);
  script.events.clear();
  script.run.last_sequence = 0;
  Start(script);
  EXPECT_EQ(Run({"analyze", "run-1"}), kExitError);
  EXPECT_THAT(err_.str(), HasSubstr("no steps yet"));
  EXPECT_EQ(Run({"plot", "run-1", "--out", folder_}), kExitError);
  EXPECT_THAT(err_.str(), HasSubstr("no steps yet"));
  EXPECT_EQ(Run({"analyze", "none"}), kExitUsage);
}

TEST_F(CliAnalysisTest, ADatabaseThatIsNotThereIsNamed) {
  for (const char* command : {"analyze", "plot", "show", "export"}) {
    EXPECT_EQ(Run({command, "run-1", "--db", folder_ + "/none.db"}),
              kExitUsage);
    EXPECT_THAT(err_.str(), HasSubstr("none.db"));
  }
  EXPECT_EQ(Run({"runs", "--db", folder_ + "/none.db"}), kExitUsage);
}

TEST_F(CliAnalysisTest, PlotRefusesFormatsAndFiguresThatThereAreNot) {
  Start(MakeScript(2, 3));
  EXPECT_EQ(Run({"plot", "run-1", "--format", "gif"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("png, svg or pdf"));
  EXPECT_EQ(Run({"plot", "run-1", "--only", "pie"}), kExitUsage);
}

TEST_F(CliAnalysisTest, CompareHoldsRunsToTheFirst) {
  Start(MakeScript(21, 6));
  // One run twice: nothing differs.
  EXPECT_EQ(Run({"compare", "run-1", "run-1"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("paired: the 21 samples"));
  EXPECT_THAT(out_.str(), HasSubstr("+0.000 [+0.000, +0.000]"));
  EXPECT_EQ(Run({"compare", "run-1", "run-1", "--json"}), kExitOk);
  const json comparison = json::parse(out_.str());
  EXPECT_EQ(comparison["runs"].size(), 2u);
  EXPECT_EQ(comparison["lanes"][0]["recall"][1]["difference"]["value"], 0);
  EXPECT_EQ(Run({"compare", "run-1"}), kExitUsage);
}

TEST_F(CliAnalysisTest, ExportAsCsvHasARowForEachRecall) {
  Start(MakeScript(2, 3));
  EXPECT_EQ(Run({"export", "run-1", "--format", "csv"}), kExitOk) << err_.str();
  // Two samples, three steps, two policies, scopes and budgets, and the names.
  const std::string text = out_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2 * 3 * 8 + 1);
  EXPECT_THAT(text, testing::StartsWith("run,sample,attempt,step,n,token,"));
  EXPECT_THAT(text, HasSubstr(",oracle,layer,tokens:4,"));
}

TEST_F(CliAnalysisTest, ExportInTheStudysLayoutMakesAFolderForEachBudget) {
  Start(MakeScript(3, 4));
  EXPECT_EQ(Run({"export", "run-1", "--layout", "study", "--out", folder_}),
            kExitOk)
      << err_.str();
  for (const char* budget : {"0.1", "tokens_4"}) {
    const fs::path results =
        fs::path(folder_) / "results" / (std::string("demo_budget_") + budget);
    std::ifstream file(results / "logs.json");
    const json logs = json::parse(file);
    EXPECT_EQ(logs["policy"], "h2o");
    EXPECT_EQ(logs["samples"].size(), 3u);
    EXPECT_EQ(logs["samples"][0]["steps"].size(), 4u);
    EXPECT_TRUE(logs["samples"][0]["steps"][0].contains("entropy"));
    EXPECT_TRUE(fs::exists(results / "plots" / "recall_by_entropy.png"));
  }
  EXPECT_EQ(Run({"export", "run-1", "--layout", "study", "--out", folder_}),
            kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--force"));
  EXPECT_EQ(Run({"export", "run-1", "--layout", "study", "--format", "csv"}),
            kExitUsage);
}

}  // namespace
}  // namespace kvrecall
