#include "server/observability/run_metrics.h"

#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/histogram.h"

#include "server/observability/histogram_batch.h"
#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RunMetricsTest : public MetricsTest {
 protected:
  static RunConfig Config() {
    RunConfig config;
    config.task = "hotpotqa";
    config.policies = {{"h2o", {}}, {"random", {{"seed", 0}}}};
    config.scopes = {Scope::kGlobal, Scope::kLayer};
    config.budgets = {{Budget::Kind::kCurrentRatio, 0.1},
                      {Budget::Kind::kCurrentRatio, 0.2}};
    return config;
  }

  // A step whose lanes have the recalls 0.01, 0.02, … in their order.
  static StepRecord Step(int64_t t) {
    StepRecord step;
    step.step = t;
    step.entropy = 1.25;
    for (int lane = 1; lane <= 8; ++lane) {
      RecallRecord recall;
      recall.recall = lane / 100.0;
      step.recalls.push_back(recall);
    }
    return step;
  }

  // A step of a sample of that run.
  void OnStep(const RunConfig& config, const StepRecord& step,
              absl::Duration latency) {
    runs_.OnSampleStarted(config, {});
    runs_.OnStep(step, latency);
  }

  // The names of all series, buckets too.
  std::set<std::string> Series() {
    std::set<std::string> series;
    std::istringstream lines(Text());
    for (std::string line; std::getline(lines, line);)
      if (!absl::StartsWith(line, "#"))
        series.insert(line.substr(0, line.rfind(' ')));
    return series;
  }

  RunMetrics& runs_ = metrics_.runs();
};

// Whatever comes, what is not told apart counts as other: no series comes after
// the start.
TEST_F(RunMetricsTest, EverySeriesIsThereFromTheStart) {
  const std::set<std::string> at_start = Series();
  for (const char* series :
       {"kvrecall_samples_total{outcome=\"failed\"}",
        "kvrecall_generation_tokens_total{task=\"hotpotqa\"}",
        "kvrecall_prompt_tokens_total{task=\"other\"}",
        "kvrecall_nonfinite_values_total{kind=\"gap\"}",
        "kvrecall_recall_ratio_count{budget=\"0.2\",policy=\"random\"}",
        "kvrecall_recall_sum_total{budget=\"0.2\",entropy_bin=\"5+\",policy="
        "\"h2o\"}",
        "kvrecall_positions_fetched_back_total{budget=\"other\",policy="
        "\"other\"}",
        "kvrecall_gap_kl_nats_count{lane=\"only_pred(h2o,0.1)\"}",
        "kvrecall_gap_logprob_change_nats_bucket{lane=\"other\",le=\"-20\"}",
        "kvrecall_engine_step_seconds_count{phase=\"gap\"}",
        "kvrecall_token_entropy_nats_bucket{le=\"12\"}"})
    EXPECT_EQ(at_start.count(series), 1u) << series;
  for (int p = 0; p < 20; ++p) {
    RunConfig config = Config();
    config.policies = {{"random", {{"seed", 1.0 + p}}}};
    config.budgets = {{Budget::Kind::kTokens, 100.0 + p}};
    config.task = absl::StrCat("task", p);
    config.gaps = {
        {GapSpec::Kind::kWithoutGold, {}, config.budgets[0], Scope::kGlobal}};
    StepRecord step = Step(1);
    step.recalls.resize(2);
    step.gaps.resize(1);
    OnStep(config, step, absl::Seconds(1));
    config.policies = {{"tova", {}, TriggerSpec{"entropy", p / 10.0}}};
    OnStep(config, step, absl::Seconds(1));
  }
  EXPECT_EQ(Series(), at_start);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_count{lane=\"other\"}"), 40);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"other\",policy=\"other\"}"),
      40);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"other\"}"), 40);
}

// With as many labels as the flags take; the process adds six.
TEST(SeriesLimitTest, AnEndpointHasAtMostTwoThousand) {
  const auto lanes = ParseLaneLabels(
      "h2o,h2o_evict,snapkv,streaming,random,oracle", "0.1,0.2,0.3,tokens:512");
  ASSERT_TRUE(lanes.ok()) << lanes.status();
  Metrics metrics(*lanes);
  metrics.SetBuild({"0.1.0", "abc", "1.13.0", "3.40.1"});
  metrics.SetModel({"nano", "d1", "float32", "cpu", 1000, absl::Seconds(1)});
  std::istringstream lines(
      prometheus::TextSerializer().Serialize(metrics.Collect()));
  int series = 0;
  for (std::string line; std::getline(lines, line);)
    series += !absl::StartsWith(line, "#");
  EXPECT_LE(series, 2000 - 6);
}

// However its parameters were written, or left out.
TEST_F(RunMetricsTest, ALaneIsKnownByWhatItIs) {
  RunConfig config = Config();
  config.policies = {{"h2o", {{"self", 1}}}, {"random", {}}};
  OnStep(config, Step(1), absl::Seconds(1));
  EXPECT_EQ(Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"h2o\"}"),
            1);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"random\"}"),
      1);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"other\",policy=\"other\"}"),
      0);
}

TEST_F(RunMetricsTest, RecallIsSummedByTheStepsEntropy) {
  StepRecord step = Step(1);
  OnStep(Config(), step, absl::Seconds(1));  // 1.25 nats
  OnStep(Config(), step, absl::Seconds(1));
  step.entropy = 7;
  OnStep(Config(), step, absl::Seconds(1));
  const auto value = [&](const char* family, const char* bin) {
    return Value(absl::StrCat("kvrecall_recall_", family,
                              "_total{budget=\"0.2\",entropy_bin=\"", bin,
                              "\",policy=\"h2o\"}"));
  };
  EXPECT_DOUBLE_EQ(value("sum", "1-2"), 0.04);
  EXPECT_EQ(value("steps", "1-2"), 2);
  EXPECT_DOUBLE_EQ(value("sum", "5+"), 0.02);
  EXPECT_EQ(value("steps", "5+"), 1);
  EXPECT_EQ(Value("kvrecall_entropy_steps_total{entropy_bin=\"1-2\"}"), 2);
  EXPECT_EQ(Value("kvrecall_entropy_steps_total{entropy_bin=\"5+\"}"), 1);
}

TEST_F(RunMetricsTest, TheCacheIsUsedWhileASampleRuns) {
  runs_.SetContextWindow(1000);
  StepRecord step = Step(1);
  step.n = 250;
  OnStep(Config(), step, absl::Seconds(1));
  EXPECT_EQ(Value("kvrecall_kv_cache_usage_ratio"), 0.25);
  runs_.OnIdle();
  EXPECT_EQ(Value("kvrecall_kv_cache_usage_ratio"), 0);
}

TEST_F(RunMetricsTest, PassesAreTimedByTheirPhase) {
  runs_.OnPass(EnginePhase::kPrefill, absl::Seconds(2));
  runs_.OnPass(EnginePhase::kDecode, absl::Milliseconds(30));
  runs_.OnPass(EnginePhase::kGap, absl::Milliseconds(40));
  runs_.OnIdle();
  const auto sum = [&](const char* phase) {
    return Value(absl::StrCat("kvrecall_engine_step_seconds_sum{phase=\"",
                              phase, "\"}"));
  };
  EXPECT_EQ(sum("prefill"), 2);
  EXPECT_DOUBLE_EQ(sum("decode"), 0.03);
  EXPECT_DOUBLE_EQ(sum("gap"), 0.04);
}

TEST_F(RunMetricsTest, FiguresAreWhatTheRunnerTold) {
  const RunConfig config = Config();
  SampleStart start;
  start.prompt_tokens = 1000;
  start.queue_seconds = 1.5;
  runs_.OnSampleStarted(config, start);
  runs_.OnStep(Step(1), absl::Seconds(3));
  runs_.OnStep(Step(2), absl::Milliseconds(20));
  runs_.OnStep(Step(3), absl::Milliseconds(30));
  SampleResult result;
  result.finish_reason = FinishReason::kEos;
  result.prefill_seconds = 2.5;
  result.decode_seconds = 0.05;
  result.generated_tokens = 3;
  runs_.OnSampleFinished(result, absl::Seconds(4));
  result.finish_reason = FinishReason::kLength;
  runs_.OnSampleFinished(result, absl::Seconds(5));
  runs_.OnSampleFailed({"OUT_OF_MEMORY", ""});
  runs_.OnSampleFailed({"NONFINITE_LOGITS", ""});

  EXPECT_EQ(Value("kvrecall_prompt_tokens_total{task=\"hotpotqa\"}"), 1000);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"hotpotqa\"}"), 3);
  EXPECT_EQ(Value("kvrecall_time_to_first_token_seconds_count"), 1);
  EXPECT_EQ(Value("kvrecall_time_to_first_token_seconds_sum"), 3);
  EXPECT_EQ(Value("kvrecall_inter_token_latency_seconds_count"), 2);
  EXPECT_NEAR(Value("kvrecall_inter_token_latency_seconds_sum"), 0.05, 1e-9);
  EXPECT_EQ(Value("kvrecall_prefill_time_seconds_sum"), 5);
  EXPECT_EQ(Value("kvrecall_decode_time_seconds_sum"), 0.1);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_sum"), 3.75);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_bucket{le=\"1\"}"), 0);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_bucket{le=\"1.5\"}"), 3);
  EXPECT_EQ(Value("kvrecall_e2e_sample_latency_seconds_sum"), 9);
  EXPECT_EQ(Value("kvrecall_queue_time_seconds_sum"), 1.5);
  EXPECT_EQ(Value("kvrecall_sample_prompt_tokens_sum"), 1000);
  EXPECT_EQ(Value("kvrecall_sample_generation_tokens_sum"), 6);
  EXPECT_EQ(Value("kvrecall_sample_generation_tokens_bucket{le=\"2\"}"), 0);
  EXPECT_EQ(Value("kvrecall_out_of_memory_total"), 1);
  EXPECT_EQ(Value("kvrecall_nonfinite_values_total{kind=\"logit\"}"), 1);
}

// A tenth of a second's, at most 128 passes and steps, and never beyond the end
// of a sample.
TEST_F(RunMetricsTest, ShortStepsAreCountedTogether) {
  const auto counted = [&] {
    const double steps = Value("kvrecall_token_entropy_nats_count");
    EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"hotpotqa\"}"),
              steps);
    EXPECT_EQ(
        Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"h2o\"}"),
        steps);
    EXPECT_EQ(Value("kvrecall_engine_step_seconds_count{phase=\"decode\"}"),
              steps);
    return steps;
  };
  const auto tell = [&](absl::Duration time, int steps) {
    for (int i = 0; i < steps; ++i) {
      runs_.OnPass(EnginePhase::kDecode, time);
      runs_.OnStep(Step(2), time);
    }
  };
  runs_.OnSampleStarted(Config(), {});
  tell(absl::Milliseconds(24), 2);  // 96 ms, as passes and steps count both
  EXPECT_EQ(counted(), 0);
  tell(absl::Milliseconds(24), 1);
  EXPECT_EQ(counted(), 3);
  tell(absl::Microseconds(1), 63);
  EXPECT_EQ(counted(), 3);
  tell(absl::Microseconds(1), 1);
  EXPECT_EQ(counted(), 67);
  tell(absl::Microseconds(1), 5);
  runs_.OnSampleFinished({}, absl::Seconds(1));
  EXPECT_EQ(counted(), 72);
  tell(absl::Microseconds(1), 5);
  RunConfig other = Config();
  other.task = "musique";
  runs_.OnSampleStarted(other, {});  // theirs are counted as theirs
  EXPECT_EQ(counted(), 77);
}

// As one by one: bounds belong to the bucket below, and what is beyond the last
// has one too.
TEST(HistogramBatchTest, ValuesAreSortedAsTheHistogramDoes) {
  const std::vector<double> bounds = {0.5, 1, 2};
  prometheus::Histogram one_by_one(bounds), together(bounds);
  {
    HistogramBatch batch(&together, bounds);
    for (const double value : {-1.0, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 1e9}) {
      one_by_one.Observe(value);
      batch.Add(value);
    }
    batch.Add(std::numeric_limits<double>::infinity());
    batch.Add(std::numeric_limits<double>::quiet_NaN());
  }
  const auto expected = one_by_one.Collect().histogram;
  const auto histogram = together.Collect().histogram;
  EXPECT_EQ(histogram.sample_count, expected.sample_count);
  EXPECT_EQ(histogram.sample_sum, expected.sample_sum);
  ASSERT_EQ(histogram.bucket.size(), expected.bucket.size());
  for (size_t i = 0; i < expected.bucket.size(); ++i)
    EXPECT_EQ(histogram.bucket[i].cumulative_count,
              expected.bucket[i].cumulative_count)
        << i;
}

TEST_F(RunMetricsTest, RecallsAreOfTheGlobalScopeByPolicyAndBudget) {
  OnStep(Config(), Step(1), absl::Seconds(1));
  // Lanes: by policy, then scope, then budget; 1 and 2 are h2o, global.
  const auto sum = [&](const char* budget, const char* policy) {
    return Value(absl::StrCat("kvrecall_recall_ratio_sum{budget=\"", budget,
                              "\",policy=\"", policy, "\"}"));
  };
  EXPECT_DOUBLE_EQ(sum("0.1", "h2o"), 0.01);
  EXPECT_DOUBLE_EQ(sum("0.2", "h2o"), 0.02);
  EXPECT_DOUBLE_EQ(sum("0.1", "random"), 0.05);
  EXPECT_DOUBLE_EQ(sum("0.2", "random"), 0.06);
}

TEST_F(RunMetricsTest, APolicyWithoutAScopeAndScopeHeadMoveNoFigure) {
  RunConfig config = Config();
  config.policies = {{"pyramidkv", {}}, {"tova", {}}};
  config.scopes = {Scope::kHead, Scope::kGlobal};
  config.budgets.resize(1);
  StepRecord step = Step(1);
  step.recalls.resize(3);  // pyramidkv head, tova head, tova global
  step.recalls[1].fetched_back = 100;
  step.recalls[2].fetched_back = 5;
  OnStep(config, step, absl::Seconds(1));
  OnStep(config, step, absl::Seconds(1));
  EXPECT_DOUBLE_EQ(
      Value("kvrecall_recall_ratio_sum{budget=\"0.1\",policy=\"tova\"}"), 0.06);
  EXPECT_EQ(Value("kvrecall_positions_fetched_back_total{budget=\"0.1\","
                  "policy=\"tova\"}"),
            10);
  EXPECT_THAT(Text(), Not(HasSubstr("pyramidkv")));
}

TEST_F(RunMetricsTest, GapsAreObservedByTheirLane) {
  RunConfig config = Config();
  config.gaps = *ParseGapSpecs("without_gold(0.1),only_pred(h2o,0.2)");
  StepRecord step = Step(1);
  step.gaps = {{1.5, 0.25, -2, 7, false}, {0, 0, 0.25, 7, true}};
  OnStep(config, step, absl::Seconds(1));
  step.gaps[1].kl = std::numeric_limits<double>::quiet_NaN();
  OnStep(config, step, absl::Seconds(1));
  const std::string gold = "{lane=\"without_gold(0.1)\"}";
  const std::string pred = "{lane=\"only_pred(h2o,0.2)\"}";
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_sum" + gold), 3);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_count" + pred), 1);
  EXPECT_EQ(Value("kvrecall_gap_logprob_change_nats_sum" + gold), -4);
  EXPECT_EQ(Value("kvrecall_gap_logprob_change_nats_sum" + pred), 0.5);
  EXPECT_EQ(Value("kvrecall_nonfinite_values_total{kind=\"gap\"}"), 1);
}

// Steps of a sample that fails, or is given back, are counted too; each of a
// batch with its own values.
TEST_F(RunMetricsTest, StepsCountHoweverTheirSampleEnds) {
  RunConfig config = Config();
  config.gaps = *ParseGapSpecs("without_gold(0.1),only_pred(h2o,0.2)");
  runs_.OnSampleStarted(config, {});
  for (int t = 1; t <= 3; ++t) {
    StepRecord step = Step(t);
    step.entropy = t;
    step.recalls[0].recall = t / 4.0;
    step.recalls[0].fetched_back = t;
    step.gaps = {{1.0 * t, 0, 0, 7, false}, {10.0 * t, 0, -1, 7, true}};
    runs_.OnStep(step, absl::Microseconds(1));
  }
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_count"), 0);
  runs_.OnIdle();
  runs_.OnSampleFailed({"ENGINE_ERROR", ""});
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_sum"), 6);
  EXPECT_EQ(Value("kvrecall_recall_ratio_sum{budget=\"0.1\",policy=\"h2o\"}"),
            1.5);
  EXPECT_EQ(
      Value("kvrecall_recall_sum_total{budget=\"0.1\",entropy_bin=\"1-2\","
            "policy=\"h2o\"}"),
      0.5);
  EXPECT_EQ(Value("kvrecall_positions_fetched_back_total{budget=\"0.1\","
                  "policy=\"h2o\"}"),
            6);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_sum{lane=\"without_gold(0.1)\"}"), 6);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_sum{lane=\"only_pred(h2o,0.2)\"}"), 60);
  EXPECT_EQ(Value("kvrecall_gap_logprob_change_nats_sum{lane=\"only_pred(h2o,0."
                  "2)\"}"),
            -3);
}

TEST_F(RunMetricsTest, RunsThatTakeTurnsKeepTheirFiguresApart) {
  const RunConfig one = Config();
  RunConfig two = Config();
  two.task = "musique";
  two.policies = {{"oracle", {}}};
  StepRecord step = Step(2);
  for (int i = 0; i < 3; ++i) {
    OnStep(one, Step(2), absl::Seconds(1));
    step.recalls.resize(4);
    OnStep(two, step, absl::Seconds(1));
  }
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"hotpotqa\"}"), 3);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"musique\"}"), 3);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"oracle\"}"),
      3);
  EXPECT_EQ(Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"h2o\"}"),
            3);
}

TEST_F(RunMetricsTest, ValuesThatAreNotFiniteAreCountedAndKeptOutOfHistograms) {
  StepRecord step = Step(1);
  step.entropy = std::numeric_limits<double>::quiet_NaN();
  step.logprob = -std::numeric_limits<double>::infinity();
  step.recalls[0].recall = std::numeric_limits<double>::infinity();
  OnStep(Config(), step, absl::Seconds(1));
  OnStep(Config(), Step(2), absl::Seconds(1));
  for (const char* kind : {"logit", "entropy", "recall"})
    EXPECT_EQ(Value(absl::StrCat("kvrecall_nonfinite_values_total{kind=\"",
                                 kind, "\"}")),
              1);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_sum"), 1.25);
  EXPECT_EQ(Value("kvrecall_recall_ratio_sum{budget=\"0.1\",policy=\"h2o\"}"),
            0.01);
}

}  // namespace
}  // namespace kvrecall
