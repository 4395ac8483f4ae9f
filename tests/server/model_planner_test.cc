// Which runs a server can go on with that began before it.

#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/assembly.h"
#include "server/engine/scripted_model.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

class ModelPlannerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto prompts = PromptBuilder::Load("deploy/models/nano");
    ASSERT_TRUE(prompts.ok()) << prompts.status();
    prompts_ = *std::move(prompts);
    model_ = MakeScriptedModel({});
    info_ = model_->info();
    run_.config.task = "demo";
    run_.config.policies = *ParsePolicySpecs("h2o,random");
    run_.config.scopes = {Scope::kGlobal};
    run_.config.budgets = *ParseBudgets("0.1");
    run_.config.max_new_tokens = 8;
    run_.config.max_prompt_tokens = 1000;
    run_.config.chat_template = "auto";
    auto plan = ModelPlanner(info_, *prompts_).Complete(run_.config);
    ASSERT_TRUE(plan.ok()) << plan.status();
    run_.config = std::move(plan->config);
    run_.provenance = std::move(plan->provenance);
  }

  std::string WhyNot() { return ModelPlanner(info_, *prompts_).WhyNot(run_); }

  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<Model> model_;
  ModelInfo info_;  // of the server that it comes to
  RunInfo run_;
};

TEST_F(ModelPlannerTest, TheSameServerGoesOn) {
  EXPECT_EQ(WhyNot(), "");
  info_.name = "a link to it";
  info_.context_window = 1008;
  EXPECT_EQ(WhyNot(), "");
}

TEST_F(ModelPlannerTest, WhatNumbersFollowFromMustBeTheSame) {
  info_.threads += 2;
  info_.dtype = "float16";
  EXPECT_THAT(WhyNot(), HasSubstr("threads (1 and 3)"));
  EXPECT_THAT(WhyNot(), HasSubstr("dtype"));
  info_ = model_->info();
  run_.provenance.program_commit = "0123abcd";
  EXPECT_THAT(WhyNot(), HasSubstr("program_commit (0123abcd and "));
}

TEST_F(ModelPlannerTest, ItsTextsMustFit) {
  info_.context_window = 1007;
  EXPECT_EQ(WhyNot(),
            "its texts may have 1008 positions, and this server's 1007");
}

TEST_F(ModelPlannerTest, WhatCannotBePlannedCannotBeComputed) {
  run_.config.task = "gone";
  EXPECT_THAT(WhyNot(), HasSubstr("this server cannot compute it: "));
}

}  // namespace
}  // namespace kvrecall
