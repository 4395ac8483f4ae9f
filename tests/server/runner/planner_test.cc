#include "server/runner/planner.h"

#include <gtest/gtest.h>

#include "server/engine/scripted_model.h"

namespace kvrecall {
namespace {

class PlannerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto prompts = PromptBuilder::Load("deploy/models/nano");
    ASSERT_TRUE(prompts.ok()) << prompts.status();
    prompts_ = std::move(*prompts);
    model_ = MakeScriptedModel({});
  }

  absl::StatusOr<Provenance> Describe(const RunConfig& config) {
    return DescribeProvenance(config, model_->info(), *prompts_);
  }
  std::string Refusal(const RunConfig& config) {
    const auto provenance = Describe(config);
    EXPECT_EQ(provenance.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(provenance.status().message());
  }
  static RunConfig Demo() {
    RunConfig config;
    config.task = "demo";
    config.policies = *ParsePolicySpecs("h2o,random");
    config.scopes = {Scope::kGlobal};
    config.budgets = *ParseBudgets("0.1");
    config.max_new_tokens = 8;
    config.max_prompt_tokens = 1000;
    config.chat_template = "auto";
    return config;
  }

  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<Model> model_;
};

TEST_F(PlannerTest, PoliciesAreRecordedWithAllParameters) {
  auto provenance = Describe(Demo());
  ASSERT_TRUE(provenance.ok()) << provenance.status();
  EXPECT_EQ(provenance->policies,
            (std::vector<std::string>{"h2o(self=1)", "random(seed=0)"}));
}

TEST_F(PlannerTest, TriggersAreRecordedWithTheirPolicy) {
  RunConfig config = Demo();
  config.policies = *ParsePolicySpecs("snapkv(w=8),h2o_evict@entropy(2)");
  auto provenance = Describe(config);
  ASSERT_TRUE(provenance.ok()) << provenance.status();
  EXPECT_EQ(provenance->policies,
            (std::vector<std::string>{"snapkv(kernel=7,w=8)",
                                      "h2o_evict@entropy(2)"}));
  config.policies = *ParsePolicySpecs("h2o@entropy(2)");
  EXPECT_NE(Refusal(config).find("takes no trigger"), std::string::npos);
}

TEST_F(PlannerTest, RefusalsNameTheField) {
  RunConfig config = Demo();
  config.task = "hotpot";
  EXPECT_NE(Refusal(config).find("hotpotqa"), std::string::npos);
  config = Demo();
  config.policies = {{"h20", {}}};
  EXPECT_NE(Refusal(config).find("h2o"), std::string::npos);
  config = Demo();
  config.policies = {{"random", {}}, {"random", {{"seed", 0}}}};
  EXPECT_NE(Refusal(config).find("twice"), std::string::npos);
  config = Demo();
  config.chat_template = "jinja";
  EXPECT_NE(Refusal(config).find("jinja"), std::string::npos);
}

TEST_F(PlannerTest, ProvenanceNamesEverythingThatMatters) {
  auto provenance = Describe(Demo());
  ASSERT_TRUE(provenance.ok()) << provenance.status();
  EXPECT_EQ(provenance->definitions_version, kDefinitionsVersion);
  EXPECT_EQ(provenance->model_digest, model_->info().digest);
  EXPECT_EQ(provenance->tokenizer_digest.size(), 64u);
  EXPECT_NE(provenance->prompt_template.find("{context}"), std::string::npos);
  EXPECT_NE(provenance->truncation.find("1000"), std::string::npos);
  EXPECT_EQ(provenance->mode, "exact");
}

TEST_F(PlannerTest, TheRunsOwnTemplateIsRecordedInPlaceOfTheTasks) {
  RunConfig config = Demo();
  config.task = kCustomTask;
  EXPECT_EQ(Describe(config)->prompt_template, "{input}");
  config.prompt_template = "Of {title}: {input}";
  EXPECT_EQ(Describe(config)->prompt_template, "Of {title}: {input}");
}

}  // namespace
}  // namespace kvrecall
