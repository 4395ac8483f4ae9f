// One sample through model and telemetry, with gap lanes and forced texts.

#include "server/runner/sample_run.h"

#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/longbench/task.h"
#include "server/engine/hf_model.h"
#include "server/engine/scripted_model.h"

namespace kvrecall {
namespace {

struct Outcome {
  absl::Status status;
  SampleStart start;
  std::vector<StepRecord> steps;
  SampleResult result;
};

class SampleRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto prompts = PromptBuilder::Load("deploy/models/nano");
    ASSERT_TRUE(prompts.ok()) << prompts.status();
    prompts_ = std::move(*prompts);
    ScriptedModelOptions options;
    options.vocabulary = 2048;
    options.eos_token = 2047;
    model_ = MakeScriptedModel(options);
    sample_.id = "one";
    sample_.input = "Where is the blue key?";
    sample_.context = "The blue key is in the old house. The red key is lost.";
    sample_.answers = {"the old house"};
  }

  static RunConfig Config(const char* policies, const char* gaps) {
    RunConfig config;
    config.task = "demo";
    config.policies = *ParsePolicySpecs(policies);
    config.scopes = {Scope::kGlobal, Scope::kLayer, Scope::kHead};
    config.budgets = *ParseBudgets("0.2,0.5");
    config.max_new_tokens = 9;
    config.max_prompt_tokens = 1000;
    config.chat_template = "auto";
    config.ignore_eos = true;
    if (*gaps != 0) config.gaps = *ParseGapSpecs(gaps);
    return config;
  }

  PreparedSample Prepare(const RunConfig& config) const {
    PreparedSample prepared;
    prepared.lease.sample = sample_;
    prepared.lease.config = config;
    prepared.task = *FindTask(config.task);
    prepared.prompt = *prompts_->Build(sample_, *prepared.task, config);
    return prepared;
  }

  uint64_t Key(const RunConfig& config) const {
    return SampleKey64(Prepare(config), model_->info());
  }

  Outcome Run(Model& model, const RunConfig& config) {
    PreparedSample prepared = Prepare(config);
    Outcome outcome;
    auto forced = prompts_->BuildForced(sample_, config);
    outcome.status = forced.status();
    if (!forced.ok()) return outcome;
    prepared.forced = *std::move(forced);
    const std::atomic<bool> stop = false;
    outcome.status =
        RunSample(model, prompts_->tokenizer(), prepared, stop,
                  [&](decltype(Event::body) body, absl::Time) {
                    if (auto* start = std::get_if<SampleStart>(&body))
                      outcome.start = *start;
                    if (auto* step = std::get_if<StepRecord>(&body))
                      outcome.steps.push_back(*step);
                    if (auto* result = std::get_if<SampleResult>(&body))
                      outcome.result = *result;
                    return absl::OkStatus();
                  });
    return outcome;
  }

  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<Model> model_;
  Sample sample_;
};

constexpr char kEveryPolicy[] =
    "h2o,h2o(self=0),h2o_window,h2o_mean,h2o_evict,streaming,snapkv,tova,"
    "pyramidkv,knorm,keydiff,random,oracle,h2o_evict@entropy(1),"
    "tova@periodic(3),tova@random(0.5)";
constexpr char kGaps[] =
    "without_gold(0.2),without_gold(0.5,layer),only_pred(h2o,0.2),"
    "only_pred(tova,0.5,head),only_pred(random,0.5),only_pred(oracle,0.2)";

TEST_F(SampleRunTest, GapLanesChangeNoBitOfTheRest) {
  const Outcome plain = Run(*model_, Config(kEveryPolicy, ""));
  const Outcome with = Run(*model_, Config(kEveryPolicy, kGaps));
  ASSERT_TRUE(plain.status.ok()) << plain.status;
  ASSERT_TRUE(with.status.ok()) << with.status;
  ASSERT_EQ(plain.steps.size(), 9u);
  ASSERT_EQ(with.steps.size(), 9u);
  for (size_t t = 0; t < with.steps.size(); ++t) {
    EXPECT_TRUE(plain.steps[t].gaps.empty());
    EXPECT_EQ(with.steps[t].gaps.size(), 6u);
    StepRecord without_gaps = with.steps[t];
    without_gaps.gaps.clear();
    EXPECT_EQ(without_gaps, plain.steps[t]) << t + 1;
  }
  EXPECT_EQ(with.result.gap_scores.size(), 6u);
}

TEST_F(SampleRunTest, TheSameSampleGivesTheSameBits) {
  const Outcome once = Run(*model_, Config(kEveryPolicy, kGaps));
  const Outcome again = Run(*model_, Config(kEveryPolicy, kGaps));
  EXPECT_EQ(once.steps, again.steps);
}

TEST_F(SampleRunTest, TheSampleKeyIsOfWhatTheTextDependsOn) {
  const RunConfig config = Config("random", "");
  RunConfig same = Config("h2o,random(seed=0)", "only_pred(random,0.5)");
  same.scopes = {Scope::kGlobal};
  same.budgets = *ParseBudgets("0.5");
  EXPECT_EQ(Key(same), Key(config));
  const auto changed = [&](auto change) {
    RunConfig other = config;
    change(other);
    return Key(other);
  };
  std::set<uint64_t> keys = {
      Key(config),
      changed([](RunConfig& c) { c.task = "hotpotqa"; }),
      changed([](RunConfig& c) { c.max_new_tokens = 8; }),
      changed([](RunConfig& c) { c.max_prompt_tokens = 20; }),
      changed([](RunConfig& c) { c.ignore_eos = false; }),
      changed([](RunConfig& c) { c.chat_template = "none"; }),
      changed([](RunConfig& c) { c.force = Force::kGold; })};
  sample_.id = "two";
  keys.insert(Key(config));
  sample_.input = "Where is the red key?";
  keys.insert(Key(config));
  PreparedSample prepared = Prepare(config);
  ModelInfo info = model_->info();
  info.digest = "another";
  keys.insert(SampleKey64(prepared, info));
  EXPECT_EQ(keys.size(), 10u);
}

// Whatever else the run measures: the random sets, and the steps that a random
// trigger picks, are the same.
TEST_F(SampleRunTest, RandomDrawsTheSameBesideOtherPolicies) {
  const Outcome alone = Run(*model_, Config("random,tova@random(0.5)", ""));
  RunConfig config =
      Config("h2o,random(seed=0),tova@random(0.5)", "without_gold(0.2)");
  config.budgets = *ParseBudgets("0.5,0.2");
  const Outcome beside = Run(*model_, config);
  ASSERT_TRUE(alone.status.ok()) << alone.status;
  ASSERT_TRUE(beside.status.ok()) << beside.status;
  ASSERT_EQ(alone.steps.size(), beside.steps.size());
  for (size_t t = 0; t < alone.steps.size(); ++t)
    for (size_t policy : {0, 1})
      for (size_t scope : {0, 1, 2})
        for (size_t budget : {0, 1})
          EXPECT_EQ(alone.steps[t].recalls[policy * 6 + scope * 2 + budget],
                    beside.steps[t]
                        .recalls[(policy + 1) * 6 + scope * 2 + 1 - budget])
              << t + 1;
}

// Telemetry's state counts before the text is begun, not when it no longer
// fits.
TEST_F(SampleRunTest, WhatManyPoliciesHoldMustFitToo) {
  HfModelOptions options;
  options.dtype = "float32";
  options.device = "cpu";
  options.threads = 1;
  options.free_memory = [] { return int64_t{80} << 20; };
  auto nano = LoadHfModel("deploy/models/nano", options);
  ASSERT_TRUE(nano.ok()) << nano.status();
  EXPECT_TRUE(Run(**nano, Config("random", "")).status.ok());
  RunConfig config = Config("random", "");
  for (int seed = 1; seed < 2000; ++seed)
    config.policies.push_back(
        {"random", {{"seed", static_cast<double>(seed)}}});
  const absl::Status status = Run(**nano, config).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(FailureOf(status).reason, "OUT_OF_MEMORY");
}

TEST_F(SampleRunTest, TheStartSaysHowLongTheSampleIs) {
  EXPECT_EQ(Run(*model_, Config("h2o", "")).start.length, 0);
  sample_.length = 4711;
  const SampleStart start = Run(*model_, Config("h2o", "")).start;
  EXPECT_EQ(start.length, 4711);
  EXPECT_EQ(start.prompt_tokens,
            std::ssize(Prepare(Config("h2o", "")).prompt.tokens));
}

// The token at a position is the prompt's, or one that was fed before.
TEST_F(SampleRunTest, LostPositionsCarryTheTextOfTheirTokens) {
  const RunConfig config = Config("h2o,random,oracle", "");
  const Outcome outcome = Run(*model_, config);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  std::vector<int64_t> text = Prepare(config).prompt.tokens;
  const auto prompt = std::ssize(text);
  const std::vector<Lane> lanes = Lanes(config);
  int64_t of_prompt = 0, of_text = 0;
  for (const StepRecord& step : outcome.steps) {
    ASSERT_EQ(step.recalls.size(), lanes.size());
    for (size_t i = 0; i < lanes.size(); ++i) {
      const bool global =
          config.scopes[static_cast<size_t>(lanes[i].scope)] == Scope::kGlobal;
      // What is not held is lost; the oracle holds all that is gold.
      EXPECT_EQ(step.recalls[i].lost.empty(),
                !global || lanes[i].policy == 2 || step.recalls[i].recall == 1)
          << step.step << ", lane " << i;
      for (const LostPosition& lost : step.recalls[i].lost) {
        ASSERT_LT(lost.position, step.n);
        (lost.position < prompt ? of_prompt : of_text) += 1;
        const int64_t token = text.at(static_cast<size_t>(lost.position));
        EXPECT_EQ(lost.token,
                  prompts_->tokenizer().Decode({&token, 1},
                                               /*skip_special_tokens=*/false));
      }
    }
    text.push_back(step.token_id);
  }
  EXPECT_GT(of_prompt, 0);
  EXPECT_GT(of_text, 0);
}

// Special tokens too, which most of so short a prompt is.
TEST_F(SampleRunTest, ALostSpecialTokenIsNamedAsItIs) {
  sample_.input = "a";
  RunConfig config = Config("random,h2o", "");
  config.task = kCustomTask;
  std::set<std::string> lost;
  for (const StepRecord& step : Run(*model_, config).steps) {
    for (const RecallRecord& recall : step.recalls)
      for (const LostPosition& position : recall.lost)
        lost.insert(position.token);
  }
  EXPECT_TRUE(lost.contains("<|im_start|>")) << ::testing::PrintToString(lost);
}

// A prompt of anybody's may be a single token, which leaves nothing to prefill.
TEST_F(SampleRunTest, APromptOfOneTokenIsRunToItsEnd) {
  sample_.input = "a";
  RunConfig config = Config(kEveryPolicy, kGaps);
  config.task = kCustomTask;
  config.chat_template = "none";
  HfModelOptions options;
  options.dtype = "float32";
  options.device = "cpu";
  options.threads = 1;
  auto nano = LoadHfModel("deploy/models/nano", options);
  ASSERT_TRUE(nano.ok()) << nano.status();
  for (Model* model : {model_.get(), nano->get()}) {
    const Outcome outcome = Run(*model, config);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.start.prompt_tokens, 1);
    ASSERT_EQ(outcome.steps.size(), 9u);
    EXPECT_EQ(outcome.steps[0].n, 1);
    EXPECT_FALSE(outcome.result.score.has_value());
  }
}

// On a real model: a lane that sees all is the oracle, one that sees less is
// not, and lanes see the sets that the recalls were taken of.
TEST_F(SampleRunTest, ALaneThatSeesEverythingIsTheOracle) {
  HfModelOptions options;
  options.dtype = "float32";
  options.device = "cpu";
  // ThreadSanitizer, under which this runs too, cannot follow OpenMP's threads.
  options.threads = 1;
  auto nano = LoadHfModel("deploy/models/nano", options);
  ASSERT_TRUE(nano.ok()) << nano.status();
  RunConfig config = Config("h2o,oracle", "");
  config.budgets = *ParseBudgets("0.2,1");
  config.gaps = *ParseGapSpecs(
      "only_pred(h2o,1),only_pred(oracle,1,head),only_pred(h2o,0.2,layer),"
      "without_gold(1)");
  const Outcome outcome = Run(**nano, config);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  double limited = 0, alone = 0;
  for (const StepRecord& step : outcome.steps) {
    for (const int all : {0, 1}) {
      EXPECT_LE(step.gaps[all].kl, 1e-9);
      EXPECT_NEAR(step.gaps[all].entropy_change, 0, 1e-5);
      EXPECT_NEAR(step.gaps[all].logprob_change, 0, 1e-5);
      EXPECT_TRUE(step.gaps[all].top1_agrees);
      EXPECT_EQ(step.gaps[all].token_id, step.token_id);
    }
    limited += step.gaps[2].kl;
    alone += step.gaps[3].kl;
  }
  EXPECT_GT(limited, 0.01);
  EXPECT_GT(alone, 0.01);
  EXPECT_EQ(outcome.result.gap_scores[0], outcome.result.score);
}

TEST_F(SampleRunTest, ForcedGoldFollowsTheAnswerAndEnds) {
  RunConfig config = Config("h2o", "");
  config.ignore_eos = false;
  config.force = Force::kGold;
  const Outcome outcome = Run(*model_, config);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  std::vector<int64_t> tokens = prompts_->tokenizer().Encode(
      "the old house", {.add_special_tokens = false});
  tokens.push_back(2047);
  ASSERT_EQ(outcome.steps.size(), tokens.size());
  for (size_t t = 0; t < tokens.size(); ++t)
    EXPECT_EQ(outcome.steps[t].token_id, tokens[t]);
  EXPECT_EQ(outcome.result.text, "the old house");
  EXPECT_EQ(outcome.result.finish_reason, FinishReason::kEos);
  EXPECT_FALSE(outcome.result.score.has_value());
}

TEST_F(SampleRunTest, ForcedTextIsTheSamplesOwnAndMayBeEmpty) {
  RunConfig config = Config("h2o", "without_gold(0.2)");
  config.ignore_eos = false;
  config.force = Force::kText;
  EXPECT_EQ(Run(*model_, config).status.code(),
            absl::StatusCode::kInvalidArgument);
  sample_.forced_text = "a garden";
  const Outcome outcome = Run(*model_, config);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.result.text, "a garden");
  EXPECT_TRUE(outcome.result.gap_scores.empty());
  EXPECT_EQ(outcome.steps[0].gaps.size(), 1u);
  sample_.forced_text = "";
  EXPECT_EQ(Run(*model_, config).steps.size(), 1u) << "the EOS alone";
}

TEST_F(SampleRunTest, ASampleWithoutAnswersHasNoGoldToForce) {
  sample_.answers.clear();
  RunConfig config = Config("h2o", "");
  config.force = Force::kGold;
  const absl::Status status = Run(*model_, config).status;
  EXPECT_EQ(status.message(), "the sample has no answer to force");
}

// A model whose likeliest token everywhere is `token`, and whose own EOS is
// another.
class Insistent final : public Model {
 public:
  Insistent(int64_t token, int64_t eos) {
    ScriptedModelOptions options;
    options.vocabulary = 2048;
    options.eos_token = token;
    options.eos_every = 1;
    model_ = MakeScriptedModel(options);
    info_ = model_->info();
    info_.eos_token_ids = {eos};
  }

  const ModelInfo& info() const override { return info_; }
  absl::Status CheckDevice() override { return model_->CheckDevice(); }
  absl::StatusOr<std::unique_ptr<Sequence>> NewSequence(
      int64_t capacity, int64_t observer_bytes) override {
    return model_->NewSequence(capacity, observer_bytes);
  }
  absl::StatusOr<PrefillObservation> Prefill(
      Sequence& sequence, std::span<const int64_t> tokens,
      const PrefillOptions& options) override {
    return model_->Prefill(sequence, tokens, options);
  }
  absl::StatusOr<std::vector<StepObservation>> Step(
      std::span<const StepInput> inputs) override {
    return model_->Step(inputs);
  }
  absl::StatusOr<at::Tensor> StepMasked(
      const Sequence& sequence, int64_t token,
      std::span<const at::Tensor> visible) override {
    return model_->StepMasked(sequence, token, visible);
  }

 private:
  std::unique_ptr<Model> model_;
  ModelInfo info_;
};

TEST_F(SampleRunTest, ALineFeedEndsTheTextOfSamsumOnly) {
  const int64_t line_feed = prompts_->tokenizer().Encode("\n").back();
  Insistent model(line_feed, 2047);
  RunConfig config = Config("h2o", "");
  config.ignore_eos = false;
  EXPECT_EQ(Run(model, config).steps.size(), 9u);
  config.task = "samsum";
  const Outcome outcome = Run(model, config);
  ASSERT_EQ(outcome.steps.size(), 2u);
  EXPECT_EQ(outcome.steps[1].token_id, line_feed);
  EXPECT_EQ(outcome.steps[1].token, "") << "what ends a text is not in it";
  EXPECT_EQ(outcome.result.finish_reason, FinishReason::kEos);
}

// LongBench's rule for samsum: no end of text may come first.
TEST_F(SampleRunTest, SamsumDoesNotEndBeforeItBegins) {
  ScriptedModelOptions options;
  options.vocabulary = 2048;
  options.eos_token = 2047;
  options.eos_every = 1;  // by far the likeliest token everywhere
  const auto model = MakeScriptedModel(options);
  RunConfig config = Config("h2o", "without_gold(0.2)");
  config.ignore_eos = false;
  EXPECT_EQ(Run(*model, config).steps.size(), 1u);
  config.task = "samsum";
  const Outcome outcome = Run(*model, config);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(outcome.steps.size(), 2u);
  const int64_t line_feed = prompts_->tokenizer().Encode("\n").back();
  EXPECT_NE(outcome.steps[0].token_id, 2047);
  EXPECT_NE(outcome.steps[0].token_id, line_feed);
  EXPECT_EQ(outcome.steps[1].token_id, 2047);
  EXPECT_EQ(outcome.result.finish_reason, FinishReason::kEos);
}

}  // namespace
}  // namespace kvrecall
