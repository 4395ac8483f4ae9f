#include "common/analysis/run_table.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

RunConfig Config() {
  RunConfig config;
  config.policies = *ParsePolicySpecs("h2o,tova");
  config.scopes = *ParseScopes("layer");
  config.budgets = *ParseBudgets("0.5");
  config.gaps = *ParseGapSpecs("without_gold(0.5,layer)");
  return config;
}

Event Step(const char* sample, int64_t attempt, int64_t t, double recall) {
  StepRecord record;
  record.step = t;
  record.n = 10 + t;
  record.entropy = 0.5 * static_cast<double>(t);
  record.token = "x";
  record.recalls.resize(2);
  record.recalls[0].recall = recall;
  record.recalls[0].layer_recalls = {static_cast<float>(recall), 1};
  if (t > 1) record.recalls[0].drift = 0.25;
  record.recalls[1].recall = 1;
  record.recalls[1].fetched_back = 3;
  record.gaps.resize(1);
  record.gaps[0].kl = 0.125;
  Event event;
  event.sample_id = sample;
  event.attempt = attempt;
  event.body = record;
  return event;
}

TEST(RunTableTest, HasTheLastAttemptsBySample) {
  RunTableBuilder builder(Config());
  Event started;
  started.sample_id = "waits";
  started.body = SampleStart{};
  ASSERT_TRUE(builder.Add(started).ok());
  ASSERT_TRUE(builder.Add(Step("b", 1, 1, 0.5)).ok());
  ASSERT_TRUE(builder.Add(Step("a", 1, 1, 0.25)).ok());
  ASSERT_TRUE(builder.Add(Step("b", 1, 2, 0.5)).ok());
  ASSERT_TRUE(builder.Add(Step("a", 2, 1, 0.75)).ok());
  ASSERT_TRUE(builder.Add(Step("a", 1, 2, 0.0)).ok()) << "late, and dropped";
  SampleResult result;
  result.score = 0.5;
  Event end;
  end.sample_id = "a";
  end.attempt = 2;
  end.body = result;
  ASSERT_TRUE(builder.Add(end).ok());
  Event run_end;
  run_end.body = RunEnd{};
  ASSERT_TRUE(builder.Add(run_end).ok());
  const auto table = builder.Build();
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->samples.size(), 2u);
  EXPECT_EQ(table->samples[0].id, "a");
  EXPECT_TRUE(table->samples[0].done);
  EXPECT_EQ(table->samples[0].score, 0.5);
  EXPECT_FALSE(table->samples[1].done);
  EXPECT_EQ(table->first, (std::vector<int64_t>{0, 1, 3}));
  EXPECT_EQ(table->columns[0].recall, (std::vector<double>{0.75, 0.5, 0.5}));
  EXPECT_TRUE(std::isnan(table->columns[0].drift[0]));
  EXPECT_EQ(table->columns[0].drift[2], 0.25);
  EXPECT_TRUE(std::isnan(table->columns[0].fetched_back[0]));
  EXPECT_EQ(table->columns[1].fetched_back[0], 3);
  EXPECT_EQ(table->gaps[0].kl, (std::vector<double>(3, 0.125)));
  EXPECT_EQ(table->entropy, (std::vector<double>{0.5, 0.5, 1}));
  ASSERT_EQ(table->columns[0].layer_recall.size(), 2u);
  EXPECT_EQ(table->columns[0].layer_recall[0], (std::vector<double>{0.625, 1}));
  EXPECT_EQ(table->columns[0].layer_recall[1], (std::vector<double>{0.5, 1}));
  EXPECT_TRUE(table->columns[1].layer_recall.empty());
  EXPECT_EQ(table->SampleOf(0), 0u);
  EXPECT_EQ(table->SampleOf(2), 1u);
}

TEST(RunTableTest, RefusesWhatIsNoRecordOfTheRun) {
  RunTableBuilder builder(Config());
  Event event = Step("a", 1, 1, 0.5);
  std::get<StepRecord>(event.body).recalls.pop_back();
  EXPECT_EQ(builder.Add(event).code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(
      builder.Add(Step("a", 1, 1, std::numeric_limits<double>::quiet_NaN()))
          .ok());
  const absl::Status status = builder.Build().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("sample a, step 1"), std::string::npos);
}

}  // namespace
}  // namespace kvrecall
