#include "client/render/result_table.h"

#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

#include "client/render/text_table.h"
#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

TEST(ResultTableTest, NumbersThatAreNotDefinedAreADash) {
  EXPECT_EQ(FormatFixed(0.6125, 3), "0.613");
  EXPECT_EQ(FormatFixed(std::nullopt, 3), "–");
  EXPECT_EQ(FormatFixed(std::nan(""), 3), "–");
  EXPECT_EQ(FormatSigned(0.25, 3), "+0.250");
  EXPECT_EQ(FormatSigned(-0.25, 3), "-0.250");
  EXPECT_EQ(FormatSigned(std::nullopt, 3), "–");
}

RunSummary MakeSummary() {
  RunSummary summary;
  summary.config = MakeScript(0, 0).run.config;
  summary.config.scopes = {Scope::kGlobal};
  summary.samples_done = 49;
  summary.samples_failed = 1;
  summary.prompt_tokens = 12345;
  summary.generated_tokens = 1850;
  summary.score = 0.8137;
  summary.scored_samples = 49;
  for (const Lane& lane : Lanes(summary.config)) {
    LaneSummary row;
    row.lane = lane;
    row.steps = 1850;
    row.recall = lane.policy == 1 ? 1 : 0.6125;
    row.chance = 0.1094;
    row.lift = 0.5651;
    row.mass_ratio = 0.9;
    if (lane.policy == 0) row.pearson = -0.21349;
    row.pearson_n = 1850;
    summary.lanes.push_back(row);
  }
  summary.bins = {{0, 0.5, 1700, 49, {0.7, 0.8}},
                  {0.5, 3, 150, 30, {0.25, 0.5}},
                  {3,
                   std::numeric_limits<double>::infinity(),
                   0,
                   0,
                   {std::nullopt, std::nullopt}}};
  return summary;
}

TEST(ResultTableTest, PrintsLanesBinsAndTotals) {
  EXPECT_EQ(
      RenderResult(MakeSummary()),
      "Recall per policy, scope and budget, over n steps\n"
      "Pearson: of the token's entropy with recall, over the same n steps\n"
      "\n"
      "policy  scope     budget     n  recall  chance   lift  mass ratio  "
      "Pearson\n"
      "h2o     global       0.1  1850   0.613   0.109  0.565       0.900  "
      " -0.213\n"
      "h2o     global  tokens:4  1850   0.613   0.109  0.565       0.900  "
      " -0.213\n"
      "oracle  global       0.1  1850   1.000   0.109  0.565       0.900  "
      "      –\n"
      "oracle  global  tokens:4  1850   1.000   0.109  0.565       0.900  "
      "      –\n"
      "\n"
      "Recall of h2o, scope global, per bin of the token's entropy (nats)\n"
      "\n"
      "entropy  steps  samples  r=0.1  r=tokens:4\n"
      "0 – 0.5   1700       49  0.700       0.800\n"
      "0.5 – 3    150       30  0.250       0.500\n"
      "≥ 3          0        0      –           –\n"
      "\n"
      "samples     49 done, 1 failed\n"
      "mean score  81.4 of 100 (n = 49)\n"
      "tokens      12345 prompt, 1850 generated\n");
}

TEST(ResultTableTest, FitsAHundredColumns) {
  RunSummary summary = MakeSummary();
  summary.config.policies[0].parameters = {{"seed", 7}};
  std::istringstream lines(RenderResult(summary));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(DisplayWidth(line), 100) << line;
  }
}

TEST(ResultTableTest, ARunIsAListOfOneLineValues) {
  const std::string text = RenderRun(MakeScript(2, 3).run);
  EXPECT_NE(text.find("state                succeeded\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("policies             h2o, oracle\n"), std::string::npos);
  EXPECT_NE(text.find("budgets              0.1, tokens:4\n"),
            std::string::npos);
  EXPECT_NE(text.find("prompt_template      {context}\\n{input}\n"),
            std::string::npos);
  EXPECT_NE(text.find("created              2023-11-14 22:13:20 UTC\n"),
            std::string::npos);
}

TEST(ResultTableTest, LongValuesOfARunAreCut) {
  RunInfo run = MakeScript(1, 1).run;
  run.provenance.prompt_template = std::string(500, 'x') + "é";
  std::istringstream lines(RenderRun(run));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(DisplayWidth(line), 100) << line;
  }
}

}  // namespace
}  // namespace kvrecall
