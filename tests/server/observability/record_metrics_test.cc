#include "server/observability/record_metrics.h"

#include <limits>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RecordMetricsTest : public MetricsTest {
 protected:
  using Config = std::shared_ptr<const RunConfig>;

  static RunConfig HotpotQa() {
    RunConfig config;
    config.task = "hotpotqa";
    config.policies = {{"h2o", {}}, {"random", {{"seed", 0}}}};
    config.scopes = {Scope::kGlobal, Scope::kLayer};
    config.budgets = {{Budget::Kind::kCurrentRatio, 0.1},
                      {Budget::Kind::kCurrentRatio, 0.2}};
    return config;
  }

  // A step whose lanes have the recalls 0.01, 0.02, … in their order.
  static StepRecord Step(int64_t t, int lanes = 8) {
    StepRecord step;
    step.step = t;
    step.entropy = 1.25;
    for (int lane = 1; lane <= lanes; ++lane) {
      RecallRecord recall;
      recall.recall = lane / 100.0;
      step.recalls.push_back(recall);
    }
    return step;
  }

  // One Append of a sample's records.
  template <typename... Records>
  static AppendedEvents Append(Config config, const Records&... records) {
    return {"run",
            "sample",
            1,
            1,
            std::make_shared<const std::vector<Event>>(
                std::vector<Event>{Event{0, "", 1, records}...}),
            std::move(config)};
  }

  // A transaction.
  void Commit(const std::vector<AppendedEvents>& appended) {
    CommitReport commit;
    commit.events = std::ssize(appended);
    commit.appended = appended;
    metrics_.store().OnCommit(commit);
  }

  // A step of a sample of its own.
  void CommitStep(const RunConfig& config, const StepRecord& step) {
    Commit({Append(std::make_shared<const RunConfig>(config), step)});
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
};

// Whatever comes, what is not told apart counts as other: no series comes after
// the start.
TEST_F(RecordMetricsTest, EverySeriesIsThereFromTheStart) {
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
    RunConfig config = HotpotQa();
    config.policies = {{"random", {{"seed", 1.0 + p}}}};
    config.scopes = {Scope::kGlobal};
    config.budgets = {{Budget::Kind::kTokens, 100.0 + p}};
    config.task = absl::StrCat("task", p);
    config.gaps = {
        {GapSpec::Kind::kWithoutGold, {}, config.budgets[0], Scope::kGlobal}};
    StepRecord step = Step(1, 1);
    step.gaps.resize(1);
    CommitStep(config, step);
    config.policies = {{"tova", {}, TriggerSpec{"entropy", p / 10.0}}};
    CommitStep(config, step);
  }
  EXPECT_EQ(Series(), at_start);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_count{lane=\"other\"}"), 40);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"other\",policy=\"other\"}"),
      40);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"other\"}"), 40);
}

// However its parameters were written, or left out.
TEST_F(RecordMetricsTest, ALaneIsKnownByWhatItIs) {
  RunConfig config = HotpotQa();
  config.policies = {{"h2o", {{"self", 1}}}, {"random", {}}};
  CommitStep(config, Step(1));
  EXPECT_EQ(Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"h2o\"}"),
            1);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"random\"}"),
      1);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"other\",policy=\"other\"}"),
      0);
}

TEST_F(RecordMetricsTest, RecallIsSummedByTheStepsEntropy) {
  const auto config = std::make_shared<const RunConfig>(HotpotQa());
  StepRecord sure = Step(1), unsure = Step(2);
  unsure.entropy = 7;
  Commit({Append(config, sure), Append(config, unsure, sure)});
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

TEST_F(RecordMetricsTest, FiguresAreThoseOfTheRecords) {
  const auto config = std::make_shared<const RunConfig>(HotpotQa());
  SampleStart start;
  start.prompt_tokens = 1000;
  start.queue_seconds = 1.5;
  SampleResult result;
  result.prefill_seconds = 2.5;
  result.decode_seconds = 0.05;
  result.generated_tokens = 3;
  // However they fall into transactions.
  Commit({Append(config, start), Append(config, Step(1))});
  Commit({Append(config, Step(2)), Append(config, Step(3), result)});
  Commit({Append(config, SampleFailure{"ENGINE_ERROR", ""})});
  EXPECT_EQ(Value("kvrecall_prompt_tokens_total{task=\"hotpotqa\"}"), 1000);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"hotpotqa\"}"), 3);
  EXPECT_EQ(Value("kvrecall_prefill_time_seconds_sum"), 2.5);
  EXPECT_EQ(Value("kvrecall_decode_time_seconds_sum"), 0.05);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_sum"), 3.75);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_bucket{le=\"1\"}"), 0);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_bucket{le=\"1.5\"}"), 3);
  EXPECT_EQ(Value("kvrecall_queue_time_seconds_sum"), 1.5);
  EXPECT_EQ(Value("kvrecall_sample_prompt_tokens_sum"), 1000);
  EXPECT_EQ(Value("kvrecall_sample_generation_tokens_sum"), 3);
  EXPECT_EQ(Value("kvrecall_sample_generation_tokens_bucket{le=\"2\"}"), 0);
}

TEST_F(RecordMetricsTest, RecallsAreOfTheGlobalScopeByPolicyAndBudget) {
  CommitStep(HotpotQa(), Step(1));
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

TEST_F(RecordMetricsTest, APolicyWithoutAScopeAndScopeHeadMoveNoFigure) {
  RunConfig config = HotpotQa();
  config.policies = {{"pyramidkv", {}}, {"tova", {}}};
  config.scopes = {Scope::kHead, Scope::kGlobal};
  config.budgets.resize(1);
  StepRecord step = Step(1, 3);  // pyramidkv head, tova head, tova global
  step.recalls[1].fetched_back = 100;
  step.recalls[2].fetched_back = 5;
  CommitStep(config, step);
  CommitStep(config, step);
  EXPECT_DOUBLE_EQ(
      Value("kvrecall_recall_ratio_sum{budget=\"0.1\",policy=\"tova\"}"), 0.06);
  EXPECT_EQ(Value("kvrecall_positions_fetched_back_total{budget=\"0.1\","
                  "policy=\"tova\"}"),
            10);
  EXPECT_THAT(Text(), Not(HasSubstr("pyramidkv")));
}

// Steps that are counted together keep their own values.
TEST_F(RecordMetricsTest, GapsAreObservedByTheirLane) {
  RunConfig config = HotpotQa();
  config.gaps = *ParseGapSpecs("without_gold(0.1),only_pred(h2o,0.2)");
  StepRecord one = Step(1), two = Step(2);
  one.gaps = {{1.5, 0.25, -2, 7, false}, {0, 0, 0.25, 7, true}};
  two.gaps = {{0.5, 0, -1, 7, false}, {10, 0, 1, 7, true}};
  const auto shared = std::make_shared<const RunConfig>(config);
  Commit({Append(shared, one), Append(shared, two)});
  const std::string gold = "{lane=\"without_gold(0.1)\"}";
  const std::string pred = "{lane=\"only_pred(h2o,0.2)\"}";
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_sum" + gold), 2);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_count" + gold), 2);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_sum" + pred), 10);
  EXPECT_EQ(Value("kvrecall_gap_logprob_change_nats_sum" + gold), -3);
  EXPECT_EQ(Value("kvrecall_gap_logprob_change_nats_sum" + pred), 1.25);
}

// In one transaction and over many.
TEST_F(RecordMetricsTest, RunsThatTakeTurnsKeepTheirFiguresApart) {
  const auto one = std::make_shared<const RunConfig>(HotpotQa());
  RunConfig config = HotpotQa();
  config.task = "musique";
  config.policies = {{"oracle", {}}};
  const auto two = std::make_shared<const RunConfig>(config);
  for (int i = 0; i < 3; ++i)
    Commit({Append(one, Step(2)), Append(two, Step(2, 4)),
            Append(two, Step(3, 4)), Append(one, Step(3))});
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"hotpotqa\"}"), 6);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"musique\"}"), 6);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"oracle\"}"),
      6);
  EXPECT_EQ(Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"h2o\"}"),
            6);
}

// Those of a run's end, and those that came from an earlier run.
TEST_F(RecordMetricsTest, EventsThatNoEngineMadeAreNotCounted) {
  Commit({Append(nullptr, RunEnd{}),
          Append(nullptr, Step(1)),
          {"run", "sample", 1, 1, nullptr, nullptr}});
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_count"), 0);
  EXPECT_EQ(Value("kvrecall_records_committed_total"), 3);
}

// One for each step and kind, whatever it holds besides.
TEST_F(RecordMetricsTest, ValuesThatAreNotFiniteAreCountedWhereTheyAreRefused) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  StepRecord step = Step(1);
  step.entropy = kNan;
  step.attention_entropy = kNan;
  step.logprob = -kInfinity;
  step.recalls[0].recall = kInfinity;
  step.recalls[1].drift = kNan;
  StepRecord gap = Step(2);
  gap.gaps = {{1, 0, 0, 7, false}, {kNan, 0, 0, 7, true}};
  metrics_.store().OnRefused({Event{0, "", 1, step}, Event{0, "", 1, gap},
                              Event{0, "", 1, Step(3)},
                              Event{0, "", 1, SampleResult{}}});
  for (const char* kind : {"logit", "entropy", "recall", "gap"})
    EXPECT_EQ(Value(absl::StrCat("kvrecall_nonfinite_values_total{kind=\"",
                                 kind, "\"}")),
              1);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_count"), 0);
}

}  // namespace
}  // namespace kvrecall
