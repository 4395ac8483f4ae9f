#include "common/record/json.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(RecordJsonTest, ConfigRoundTrips) {
  RunConfig config;
  config.task = "musique";
  config.policies = *ParsePolicySpecs("h2o,random(seed=3)");
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  config.budgets = *ParseBudgets("0.1,tokens:64");
  config.max_new_tokens = 32;
  config.max_prompt_tokens = 31500;
  config.chat_template = "auto";
  auto back = ConfigFromJson(ConfigToJson(config).dump());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, config);
}

TEST(RecordJsonTest, GapLanesTriggersAndTheForcedContinuationRoundTrip) {
  RunConfig config;
  config.task = "musique";
  config.policies = *ParsePolicySpecs("snapkv(w=8,kernel=3),tova@random(0.1)");
  config.scopes = {Scope::kHead};
  config.budgets = *ParseBudgets("0.1");
  config.gaps =
      *ParseGapSpecs("without_gold(0.1,head),only_pred(tova@random(0.1),0.1)");
  config.force = Force::kGold;
  const auto json = ConfigToJson(config);
  EXPECT_EQ(
      json["gaps"].dump(),
      R"j(["without_gold(0.1,head)","only_pred(tova@random(0.1),0.1)"])j");
  EXPECT_EQ(json["force"], "gold");
  auto back = ConfigFromJson(json.dump());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, config);
}

TEST(RecordJsonTest, ATemplateOfTheRunsOwnRoundTrips) {
  RunConfig config;
  config.task = "custom";
  config.policies = *ParsePolicySpecs("h2o");
  config.scopes = {Scope::kGlobal};
  config.budgets = *ParseBudgets("0.1");
  config.prompt_template = "Of {title}:\n\"{input}\"";
  const auto json = ConfigToJson(config);
  EXPECT_EQ(json["prompt_template"], config.prompt_template);
  const auto back = ConfigFromJson(json.dump());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, config);
}

// Digests are taken of it: of a request, to know it when it comes again, and of
// what the text depends on, for the sample key.
TEST(RecordJsonTest, ARunWithoutGapsAndForceIsWrittenAsEver) {
  RunConfig config;
  config.task = "demo";
  config.policies = *ParsePolicySpecs("h2o");
  config.scopes = {Scope::kGlobal};
  config.budgets = *ParseBudgets("0.1");
  config.max_new_tokens = 96;
  config.max_prompt_tokens = 416;
  config.chat_template = "auto";
  const std::string text =
      R"({"task":"demo","policies":["h2o"],"scopes":["global"],)"
      R"("budgets":["0.1"],"max_new_tokens":96,"max_prompt_tokens":416,)"
      R"("ignore_eos":false,"chat_template":"auto"})";
  EXPECT_EQ(ConfigToJson(config).dump(), text);
  auto back = ConfigFromJson(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, config);
}

TEST(RecordJsonTest, ABadGapLaneOrForceIsRefused) {
  auto json = ConfigToJson(RunConfig());
  json["force"] = "silver";
  EXPECT_TRUE(absl::IsInvalidArgument(ConfigFromJson(json.dump()).status()));
  json["force"] = "text";
  EXPECT_TRUE(ConfigFromJson(json.dump()).ok());
  json["gaps"] = {"with_gold(0.1)"};
  EXPECT_TRUE(absl::IsInvalidArgument(ConfigFromJson(json.dump()).status()));
}

TEST(RecordJsonTest, ProvenanceRoundTrips) {
  Provenance provenance;
  provenance.model = "nano";
  provenance.threads = 2;
  provenance.prefill_chunk = 256;
  provenance.kernels = "avx2";
  provenance.policies = {"h2o(self=1)", "oracle"};
  auto back = ProvenanceFromJson(ProvenanceToJson(provenance).dump());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, provenance);
}

TEST(RecordJsonTest, MissingFieldIsNamed) {
  auto config = ConfigFromJson("{}");
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.status().message().find("task"), std::string::npos);
}

TEST(RecordJsonTest, ANumberThatIsNotWholeIsRefused) {
  for (const char* bad : {"1e300", "1.5", "\"1\""}) {
    const std::string number = bad;
    const auto provenance =
        ProvenanceFromJson("{\"definitions_version\": " + number + "}");
    ASSERT_FALSE(provenance.ok()) << bad;
    EXPECT_NE(provenance.status().message().find("whole"), std::string::npos)
        << provenance.status();
  }
}

TEST(RecordJsonTest, WhatNestsWithoutEndIsRefused) {
  constexpr size_t kDepth = 200'000;
  const std::string text =
      "{\"gaps\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}";
  EXPECT_TRUE(absl::IsInvalidArgument(ConfigFromJson(text).status()));
}

}  // namespace
}  // namespace kvrecall
