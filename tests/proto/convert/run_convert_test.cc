#include "proto/convert/run_convert.h"

#include <cmath>
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "proto/convert/sample_convert.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

RunConfig SomeConfig() {
  RunConfig config;
  config.task = "hotpotqa";
  config.policies = {{"h2o", {}},
                     {"random", {{"seed", 7}}},
                     {"p", {{"x", 0.1}}, TriggerSpec{"entropy", 1.0 / 3}}};
  config.scopes = {Scope::kLayer, Scope::kHead, Scope::kGlobal};
  config.budgets = {{Budget::Kind::kCurrentRatio, 0.1},
                    {Budget::Kind::kPromptRatio, 1.0 / 3},
                    {Budget::Kind::kTokens, 512}};
  config.max_new_tokens = 32;
  config.max_prompt_tokens = 31500;
  config.ignore_eos = true;
  config.chat_template = "chatml";
  config.gaps = {
      {GapSpec::Kind::kWithoutGold, {}, config.budgets[0], Scope::kGlobal},
      {GapSpec::Kind::kOnlyPred, config.policies[2], config.budgets[1],
       Scope::kHead}};
  config.force = Force::kText;
  config.prompt_template = "Of {title}:\n{input}";
  return config;
}

Provenance SomeProvenance() {
  Provenance p;
  p.definitions_version = 3;
  p.program_version = "0.1.0";
  p.program_commit = "abc";
  p.model = "nano";
  p.model_digest = "d1";
  p.tokenizer_digest = "d2";
  p.prompt_template = "{context}\n{input}";
  p.chat_template = "chatml 12";
  p.truncation = "middle 31500";
  p.dtype = "bfloat16";
  p.device = "cpu";
  p.threads = 2;
  p.libtorch = "1.13";
  p.mode = "exact";
  p.prefill_chunk = 512;
  p.kernels = "avx2";
  p.policies = {"h2o(self=1)", "oracle"};
  return p;
}

template <typename Message>
Message Rewire(const Message& message) {
  Message parsed;
  EXPECT_TRUE(parsed.ParseFromString(message.SerializeAsString()));
  return parsed;
}

TEST(RunConvertTest, ConfigurationAndProvenanceSurviveTheWire) {
  absl::StatusOr<RunConfig> config = FromProto(Rewire(ToProto(SomeConfig())));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, SomeConfig());
  EXPECT_EQ(FromProto(Rewire(ToProto(SomeProvenance()))), SomeProvenance());
}

TEST(RunConvertTest, EveryForcedContinuationSurvivesAndUnsetIsNone) {
  for (Force force : {Force::kNone, Force::kGold, Force::kText})
    EXPECT_EQ(FromProto(ToProto(force), "force").value(), force);
  EXPECT_EQ(FromProto(v1::RunConfig()).value().force, Force::kNone);
}

TEST(RunConvertTest, RunsSurviveTheWireWithTimesToTheNanosecond) {
  RunInfo run;
  run.run_id = "01ABC";
  run.state = RunState::kPartiallyFailed;
  run.config = SomeConfig();
  run.provenance = SomeProvenance();
  run.samples_submitted = 200;
  run.samples_done = 198;
  run.samples_failed = 2;
  run.complete = true;
  run.last_sequence = 12345;
  run.held = "threads (2 and 4)";
  run.create_time = absl::FromUnixNanos(1'700'000'000'123'456'789);
  for (bool ended : {false, true}) {
    if (ended) {
      run.end_time = absl::FromUnixNanos(-1);
      run.deadline = absl::FromUnixNanos(1'800'000'000'000'000'001);
    }
    absl::StatusOr<RunInfo> back = FromProto(Rewire(ToProto(run)));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->run_id, run.run_id);
    EXPECT_EQ(back->state, run.state);
    EXPECT_EQ(back->config, run.config);
    EXPECT_EQ(back->provenance, run.provenance);
    EXPECT_EQ(back->samples_submitted, run.samples_submitted);
    EXPECT_EQ(back->samples_done, run.samples_done);
    EXPECT_EQ(back->samples_failed, run.samples_failed);
    EXPECT_EQ(back->complete, run.complete);
    EXPECT_EQ(back->last_sequence, run.last_sequence);
    EXPECT_EQ(back->create_time, run.create_time);
    EXPECT_EQ(back->end_time, run.end_time);
    EXPECT_EQ(back->deadline, run.deadline);
    EXPECT_EQ(back->held, run.held);
  }
}

TEST(RunConvertTest, SamplesSurviveTheWire) {
  Sample sample;
  sample.id = "x";
  sample.input = "Who?";
  sample.context = "Passage 1:\n\xE4\xBD\xA0";
  sample.answers = {"a", ""};
  sample.dataset = "hotpotqa";
  sample.language = "en";
  sample.length = 42;
  sample.all_classes = {"c"};
  sample.forced_text = "";  // an empty text is not an absent one
  sample.ordinal = 3;
  const Sample back = FromProto(Rewire(ToProto(sample)));
  EXPECT_EQ(back.id, sample.id);
  EXPECT_EQ(back.input, sample.input);
  EXPECT_EQ(back.context, sample.context);
  EXPECT_EQ(back.answers, sample.answers);
  EXPECT_EQ(back.dataset, sample.dataset);
  EXPECT_EQ(back.language, sample.language);
  EXPECT_EQ(back.length, sample.length);
  EXPECT_EQ(back.all_classes, sample.all_classes);
  EXPECT_EQ(back.forced_text, sample.forced_text);
  EXPECT_EQ(back.ordinal, 3);
  sample.forced_text.reset();
  EXPECT_EQ(FromProto(Rewire(ToProto(sample))).forced_text, std::nullopt);
}

TEST(RunConvertTest, FieldsAndChatsSurviveTheWire) {
  Sample sample;
  sample.id = "mine";
  sample.fields = {{"title", "\xE4\xBD\xA0"}, {"empty", ""}, {"a b", "{x}"}};
  sample.messages = {
      {"system", ""}, {"user", "a\n"}, {"assistant", "b"}, {"user", "a\n"}};
  const Sample back = FromProto(Rewire(ToProto(sample)));
  EXPECT_EQ(back.fields, sample.fields);
  EXPECT_EQ(back.messages, sample.messages);
}

// What is broken, and how the error must begin.
struct Fault {
  const char* message;
  std::function<void(v1::RunConfig*)> break_it;
};

TEST(RunConvertTest, EveryBadFieldIsRefusedByName) {
  const Fault faults[] = {
      {"config.policies[1]: ", [](auto* c) { c->set_policies(1, "H2O("); }},
      {"config.scopes[0]: unknown scope 0",
       [](auto* c) { c->set_scopes(0, v1::SCOPE_UNSPECIFIED); }},
      {"config.scopes[1]: unknown scope 17",
       [](auto* c) { c->set_scopes(1, static_cast<v1::Scope>(17)); }},
      {"config.budgets[2].kind: is not set",
       [](auto* c) { c->mutable_budgets(2)->Clear(); }},
      {"config.budgets[0].current_ratio: 1.5 is outside",
       [](auto* c) { c->mutable_budgets(0)->set_current_ratio(1.5); }},
      {"config.budgets[0].current_ratio: nan is outside",
       [](auto* c) { c->mutable_budgets(0)->set_current_ratio(NAN); }},
      {"config.budgets[1].prompt_ratio: 0 is outside",
       [](auto* c) { c->mutable_budgets(1)->set_prompt_ratio(0); }},
      {"config.budgets[2].tokens: 0 is not",
       [](auto* c) { c->mutable_budgets(2)->set_tokens(0); }},
      {"config.budgets[2].tokens: 9007199254740993 is not",
       [](auto* c) { c->mutable_budgets(2)->set_tokens((1LL << 53) + 1); }},
      {"config.gaps[1]: gap lane 'only_pred(0.1)'",
       [](auto* c) { c->set_gaps(1, "only_pred(0.1)"); }},
      {"config.force: unknown forced continuation 9",
       [](auto* c) { c->set_force(static_cast<v1::Force>(9)); }},
  };
  for (const Fault& fault : faults) {
    v1::RunConfig message = ToProto(SomeConfig());
    fault.break_it(&message);
    const absl::Status status = FromProto(message).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(fault.message));
  }
}

TEST(RunConvertTest, TimesThatNoTimestampHoldsBecomeTheNearestOne) {
  RunInfo run;
  run.create_time = absl::InfinitePast();
  run.end_time = absl::InfiniteFuture();
  const v1::Run message = ToProto(run);
  EXPECT_EQ(message.create_time().seconds(), -62135596800);
  EXPECT_EQ(message.create_time().nanos(), 0);
  EXPECT_EQ(message.end_time().seconds(), 253402300799);
  EXPECT_EQ(message.end_time().nanos(), 999999999);
}

}  // namespace
}  // namespace kvrecall
