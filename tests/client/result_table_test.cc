#include "client/render/result_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

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
    row.recall_without_free_hits = 0.25;
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
      "no free: without the first 4 and the last 32 positions\n"
      "Pearson: of the token's entropy with recall, over the same n steps\n"
      "\n"
      "policy  scope     budget     n  recall  no free  chance   lift  "
      "mass ratio  Pearson\n"
      "h2o     global       0.1  1850   0.613    0.250   0.109  0.565  "
      "     0.900   -0.213\n"
      "h2o     global  tokens:4  1850   0.613    0.250   0.109  0.565  "
      "     0.900   -0.213\n"
      "oracle  global       0.1  1850   1.000    0.250   0.109  0.565  "
      "     0.900        –\n"
      "oracle  global  tokens:4  1850   1.000    0.250   0.109  0.565  "
      "     0.900        –\n"
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

TEST(ResultTableTest, ShowsWhatWasFetchedBackWhereSomethingCanBeLost) {
  RunSummary summary = MakeSummary();
  EXPECT_EQ(RenderResult(summary).find("fetched"), std::string::npos);
  summary.lanes[0].fetched_back = 1.255;
  const std::string text = RenderResult(summary);
  EXPECT_NE(text.find("fetched: positions that a trigger took back per step\n"),
            std::string::npos);
  EXPECT_NE(text.find("  Pearson  fetched\n"), std::string::npos) << text;
  EXPECT_NE(text.find("   -0.213     1.25\n"), std::string::npos) << text;
  EXPECT_NE(text.find("   -0.213        –\n"), std::string::npos) << text;
}

// Two gap lanes, one of which has no score.
RunSummary MakeSummaryWithGaps() {
  RunSummary summary = MakeSummary();
  summary.config.gaps =
      *ParseGapSpecs("without_gold(0.1),only_pred(h2o,tokens:4)");
  summary.gaps = {{.steps = 1850,
                   .kl = 1.5,
                   .entropy_change = 0.25,
                   .logprob_change = -0.75,
                   .top1_agreement = 0.5,
                   .score = 0.5,
                   .scored_samples = 49},
                  {.steps = 1850,
                   .kl = 0,
                   .entropy_change = -0.125,
                   .logprob_change = 0,
                   .top1_agreement = 1,
                   .score = std::nullopt}};
  return summary;
}

TEST(ResultTableTest, PrintsTheGapLanes) {
  const std::string text = RenderResult(MakeSummaryWithGaps());
  EXPECT_NE(
      text.find(
          "\n"
          "Entropy gap: the step's distribution with attention limited, beside "
          "its own,\n"
          "mean over n steps (nats); top-1: share of steps with the same first "
          "choice;\n"
          "score: of the text that the lane's own choices make, of 100\n"
          "\n"
          "lane                        n     KL      ΔH  Δ ln p  top-1  score\n"
          "without_gold(0.1)        1850  1.500  +0.250  -0.750  0.500   50.0\n"
          "only_pred(h2o,tokens:4)  1850  0.000  -0.125  +0.000  1.000      –\n"
          "\n"),
      std::string::npos)
      << text;
}

TEST(ResultTableTest, ScoresByLengthStandBelowTheMean) {
  RunSummary summary = MakeSummary();
  EXPECT_EQ(RenderResult(summary).find("by length"), std::string::npos);
  summary.score_by_length = {
      {"0-4k", 0.8137, 40}, {"4-8k", std::nullopt, 0}, {"8k+", 0, 9}};
  const std::string text = RenderResult(summary);
  EXPECT_NE(text.find("mean score  81.4 of 100 (n = 49)\n"
                      "by length   0-4k words 81.4 (n = 40), 4-8k words – (n = "
                      "0), 8k+ words 0.0 (n = 9)\n"
                      "tokens "),
            std::string::npos)
      << text;
}

TEST(ResultTableTest, TheFactsOfARunAreWhole) {
  RunInfo run = MakeScript(1, 1).run;
  run.provenance.prompt_template = std::string(500, 'x');
  const TextTable facts = RunFacts(run);
  EXPECT_EQ(facts.columns()[1].name, "run-1");
  const auto& rows = facts.rows();
  EXPECT_EQ(rows[0], (std::vector<std::string>{"state", "succeeded"}));
  EXPECT_NE(std::find(rows.begin(), rows.end(),
                      std::vector<std::string>{"prompt_template",
                                               std::string(500, 'x')}),
            rows.end());
}

TEST(ResultTableTest, FitsAHundredColumns) {
  RunSummary summary = MakeSummaryWithGaps();
  summary.score_by_length = {
      {"0-4k", 1, 1234}, {"4-8k", 1, 1234}, {"8k+", 1, 1234}};
  summary.config.policies[0].parameters = {{"seed", 7}};
  summary.lanes[0].fetched_back = 1234.5;
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
  EXPECT_EQ(text.find("deadline"), std::string::npos);
  RunInfo limited = MakeScript(2, 3).run;
  limited.deadline = limited.create_time + absl::Hours(2);
  EXPECT_NE(RenderRun(limited).find("deadline             2023-11-15 00:13:20 "
                                    "UTC\n"),
            std::string::npos);
}

TEST(ResultTableTest, ARunThatIsHeldSaysSoAndWhy) {
  RunInfo run = MakeScript(2, 3).run;
  EXPECT_EQ(RenderRun(run).find("held"), std::string::npos);
  run.state = RunState::kQueued;
  run.held = "it and this server differ in threads (2 and 4)";
  const std::string text = RenderRun(run);
  EXPECT_NE(text.find("state                held\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("held                 it and this server differ in "
                      "threads (2 and 4)\n"),
            std::string::npos);
  const std::string list = RenderRuns({run});
  EXPECT_NE(list.find("  held  "), std::string::npos) << list;
  EXPECT_EQ(list.find("queued"), std::string::npos);
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
