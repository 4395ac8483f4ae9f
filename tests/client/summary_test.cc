#include "client/summary.h"

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

RunSummary Summarize(const FakeScript& script) {
  SummaryBuilder builder(script.run.config);
  for (const Event& event : script.events) {
    EXPECT_TRUE(builder.Add(event).ok());
  }
  auto summary = builder.Summarize();
  EXPECT_TRUE(summary.ok()) << summary.status();
  return *summary;
}

TEST(SummaryTest, EqualsASlowComputationOfMeansAndCorrelation) {
  const FakeScript script = MakeScript(/*samples=*/5, /*steps=*/20);
  const RunSummary summary = Summarize(script);
  const std::vector<Lane> lanes = Lanes(script.run.config);
  ASSERT_EQ(summary.lanes.size(), lanes.size());
  for (size_t i = 0; i < lanes.size(); ++i) {
    std::vector<double> h, r;
    for (const Event& event : script.events) {
      if (const auto* step = std::get_if<StepRecord>(&event.body)) {
        h.push_back(step->entropy);
        r.push_back(step->recalls[i].recall);
      }
    }
    double mean_h = 0, mean_r = 0;
    for (size_t j = 0; j < h.size(); ++j) {
      mean_h += h[j] / 100;
      mean_r += r[j] / 100;
    }
    double hr = 0, hh = 0, rr = 0;
    for (size_t j = 0; j < h.size(); ++j) {
      hr += (h[j] - mean_h) * (r[j] - mean_r);
      hh += (h[j] - mean_h) * (h[j] - mean_h);
      rr += (r[j] - mean_r) * (r[j] - mean_r);
    }
    const LaneSummary& row = summary.lanes[i];
    EXPECT_EQ(row.steps, 100);
    EXPECT_EQ(row.pearson_n, 100);
    EXPECT_NEAR(*row.recall, mean_r, 1e-12);
    EXPECT_NEAR(*row.chance, 0.125, 1e-12);
    EXPECT_NEAR(*row.lift, (mean_r - 0.125) / 0.875, 1e-12);
    EXPECT_NEAR(*row.mass, 0.5, 1e-12);
    EXPECT_NEAR(*row.recall_without_free_hits, mean_r / 2, 1e-12);
    EXPECT_NEAR(*row.drift, 0.25, 1e-12);
    EXPECT_FALSE(row.fetched_back.has_value());
    if (lanes[i].policy == 0) {
      EXPECT_NEAR(*row.pearson, hr / std::sqrt(hh * rr), 1e-9);
    } else {
      // The oracle's recall is constant: no correlation, and not zero.
      EXPECT_FALSE(row.pearson.has_value());
    }
  }
}

TEST(SummaryTest, StepsWhereAQuantityIsNotDefinedAreLeftOut) {
  FakeScript script = MakeScript(1, 4);
  for (int t = 1; t <= 4; ++t) {
    RecallRecord& recall =
        std::get<StepRecord>(script.events[t].body).recalls[0];
    recall.recall_without_free_hits.reset();
    recall.fetched_back = t;
  }
  std::get<StepRecord>(script.events[3].body)
      .recalls[0]
      .recall_without_free_hits = 0.5;
  const LaneSummary row = Summarize(script).lanes[0];
  EXPECT_EQ(row.recall_without_free_hits, 0.5);
  EXPECT_EQ(row.drift, 0.25);  // of three steps
  EXPECT_EQ(row.fetched_back, 2.5);
}

TEST(SummaryTest, GapLanesHaveTheirMeansAndScores) {
  FakeScript script = MakeScript(2, 3);
  AddGaps(&script);
  // The second sample has no score.
  auto& result = std::get<SampleResult>(script.events[9].body);
  result.score.reset();
  result.gap_scores.clear();
  const RunSummary summary = Summarize(script);
  ASSERT_EQ(summary.gaps.size(), 2u);
  const GapSummary& first = summary.gaps[0];
  EXPECT_EQ(first.steps, 6);
  EXPECT_EQ(first.kl, 1.0);  // 0.5 · (1 + 2 + 3) / 3
  EXPECT_EQ(first.entropy_change, 0.25);
  EXPECT_EQ(first.logprob_change, -0.25);
  EXPECT_EQ(first.top1_agreement, 1.0);
  EXPECT_EQ(first.score, 0.25);
  EXPECT_EQ(first.scored_samples, 1);
  EXPECT_EQ(summary.gaps[1].top1_agreement, 0.0);
  EXPECT_EQ(summary.gaps[1].score, 1.0);
}

TEST(SummaryTest, CountsSamplesTokensAndScores) {
  const RunSummary summary = Summarize(MakeScript(4, 3));
  EXPECT_EQ(summary.samples_done, 4);
  EXPECT_EQ(summary.steps, 12);
  EXPECT_EQ(summary.generated_tokens, 12);
  EXPECT_EQ(summary.prompt_tokens, 80);
  EXPECT_DOUBLE_EQ(*summary.score, 0.75);
  EXPECT_EQ(summary.scored_samples, 4);
}

// A run of LongBench-E with a sample for each length; a score of nullopt: none.
RunSummary OfLengths(
    std::vector<std::pair<int64_t, std::optional<double>>> samples) {
  FakeScript script = MakeScript(static_cast<int>(samples.size()), 1);
  script.run.config.task = "hotpotqa_e";
  for (size_t i = 0; i < samples.size(); ++i) {
    std::get<SampleStart>(script.events[3 * i].body).length = samples[i].first;
    std::get<SampleResult>(script.events[3 * i + 2].body).score =
        samples[i].second;
  }
  return Summarize(script);
}

TEST(SummaryTest, LongBenchEHasItsScoresByLength) {
  const RunSummary summary = OfLengths({{1, 1.0},
                                        {3999, 0.5},
                                        {4000, 0.25},
                                        {7999, 0.75},
                                        {8000, 0.125},
                                        {200'000, 0.0}});
  ASSERT_EQ(summary.score_by_length.size(), 3u);
  const std::vector<LengthScore>& scores = summary.score_by_length;
  EXPECT_STREQ(scores[0].words, "0-4k");
  EXPECT_STREQ(scores[1].words, "4-8k");
  EXPECT_STREQ(scores[2].words, "8k+");
  EXPECT_EQ(scores[0].score, 0.75);
  EXPECT_EQ(scores[1].score, 0.5);
  EXPECT_EQ(scores[2].score, 0.0625);
  for (const LengthScore& score : scores) EXPECT_EQ(score.samples, 2);
}

TEST(SummaryTest, OnlyLongBenchEHasScoresByLength) {
  FakeScript script = MakeScript(2, 1);
  for (const char* task : {"demo", "hotpotqa", "custom", "hotpotqa_cot"}) {
    script.run.config.task = task;
    EXPECT_TRUE(Summarize(script).score_by_length.empty()) << task;
  }
  script.run.config.task = "hotpotqa_e";
  EXPECT_EQ(Summarize(script).score_by_length.size(), 3u);
}

TEST(SummaryTest, SamplesWithoutScoreOrLengthAreInNoGroup) {
  const RunSummary summary =
      OfLengths({{100, std::nullopt}, {0, 1.0}, {9000, 0.5}});
  EXPECT_EQ(summary.scored_samples, 2);
  EXPECT_FALSE(summary.score_by_length[0].score.has_value());
  EXPECT_EQ(summary.score_by_length[0].samples, 0);
  EXPECT_EQ(summary.score_by_length[2].score, 0.5);
  EXPECT_EQ(summary.score_by_length[2].samples, 1);
}

TEST(SummaryTest, ASampleThatIsNotDoneIsInNoGroup) {
  FakeScript script = MakeScript(2, 1);
  script.run.config.task = "hotpotqa_e";
  script.events.resize(4);  // the second has begun
  const RunSummary summary = Summarize(script);
  EXPECT_EQ(summary.score_by_length[0].samples, 1);
  EXPECT_EQ(summary.score_by_length[1].samples, 0);
}

TEST(SummaryTest, BinsHoldEachStepOnceWithItsMeanRecallPerBudget) {
  const FakeScript script = MakeScript(3, 30);
  const RunSummary summary = Summarize(script);
  EXPECT_EQ(summary.bins_policy, 0);
  EXPECT_EQ(summary.bins_scope, 0);
  ASSERT_EQ(summary.bins.size(), 7u);
  int64_t steps = 0;
  for (const BinSummary& bin : summary.bins) {
    steps += bin.steps;
    ASSERT_EQ(bin.recall.size(), 2u);
    double sum = 0;
    int64_t n = 0;
    for (const Event& event : script.events) {
      const auto* step = std::get_if<StepRecord>(&event.body);
      if (step == nullptr || step->entropy < bin.low ||
          step->entropy >= bin.high) {
        continue;
      }
      sum += step->recalls[1].recall;  // h2o, global, the second budget
      ++n;
    }
    EXPECT_EQ(bin.steps, n);
    if (n > 0) {
      EXPECT_NEAR(*bin.recall[1], sum / n, 1e-12);
    }
  }
  EXPECT_EQ(steps, 90);
}

TEST(SummaryTest, OnlyTheLastAttemptOfASampleCounts) {
  FakeScript script = MakeScript(2, 4);
  // The first sample's end never came; it starts again and takes two steps.
  std::vector<Event> events(script.events.begin(), script.events.begin() + 4);
  for (int i : {0, 1, 2, 5}) {
    events.push_back(script.events[i]);
    events.back().attempt = 2;
  }
  // A straggler of the first attempt changes nothing.
  events.push_back(script.events[4]);
  script.events = events;
  const RunSummary summary = Summarize(script);
  EXPECT_EQ(summary.steps, 2);
  EXPECT_EQ(summary.lanes[0].steps, 2);
  EXPECT_EQ(summary.prompt_tokens, 20);
  EXPECT_EQ(summary.samples_done, 1);
}

TEST(SummaryTest, FailedAndUnfinishedSamplesAreToldApart) {
  FakeScript script = MakeScript(3, 1);
  script.events.resize(4);  // s1 done; s2 started
  script.events.push_back({.sequence = 5,
                           .sample_id = "s3",
                           .attempt = 1,
                           .body = SampleFailure{"TOO_LONG", "context"}});
  const RunSummary summary = Summarize(script);
  EXPECT_EQ(summary.samples_done, 1);
  EXPECT_EQ(summary.samples_failed, 1);
  EXPECT_EQ(summary.samples_unfinished, 1);
  ASSERT_EQ(summary.problems.size(), 1u);
  EXPECT_EQ(summary.problems[0].sample_id, "s3");
  EXPECT_EQ(summary.problems[0].reason, "TOO_LONG");
}

TEST(SummaryTest, WithoutStepsNothingIsDefined) {
  FakeScript script = MakeScript(1, 1);
  script.events.clear();
  const RunSummary summary = Summarize(script);
  EXPECT_FALSE(summary.lanes[0].recall.has_value());
  EXPECT_FALSE(summary.lanes[0].lift.has_value());
  EXPECT_FALSE(summary.lanes[0].pearson.has_value());
  EXPECT_FALSE(summary.score.has_value());
}

TEST(SummaryTest, AStepWithTheWrongNumberOfRecallsIsRefused) {
  FakeScript script = MakeScript(1, 1);
  std::get<StepRecord>(script.events[1].body).recalls.pop_back();
  SummaryBuilder builder(script.run.config);
  EXPECT_TRUE(builder.Add(script.events[0]).ok());
  EXPECT_EQ(builder.Add(script.events[1]).code(), absl::StatusCode::kDataLoss);
}

TEST(SummaryTest, AStepWithTheWrongNumberOfGapsIsRefused) {
  FakeScript script = MakeScript(1, 1);
  SummaryBuilder builder(script.run.config);
  AddGaps(&script);
  EXPECT_EQ(builder.Add(script.events[1]).code(), absl::StatusCode::kDataLoss);
}

TEST(SummaryTest, TheBinsShowAScopeThatThePolicyHas) {
  FakeScript script = MakeScript(1, 2);
  script.run.config.policies[0].name = "pyramidkv";
  for (int t : {1, 2}) {
    auto& recalls = std::get<StepRecord>(script.events[t].body).recalls;
    recalls.erase(recalls.begin(), recalls.begin() + 2);  // scope global
  }
  const RunSummary summary = Summarize(script);
  EXPECT_EQ(summary.bins_policy, 0);
  EXPECT_EQ(summary.bins_scope, 1);
  ASSERT_FALSE(summary.bins.empty());
  EXPECT_EQ(summary.bins[0].recall.size(), 2u);
}

TEST(SummaryTest, WithoutH2oGlobalTheBinsShowTheFirstLane) {
  FakeScript script = MakeScript(1, 2);
  script.run.config.policies[0].name = "knorm";
  script.run.config.scopes = {Scope::kLayer, Scope::kGlobal};
  const RunSummary summary = Summarize(script);
  EXPECT_EQ(summary.bins_policy, 0);
  EXPECT_EQ(summary.bins_scope, 1);
}

}  // namespace
}  // namespace kvrecall
