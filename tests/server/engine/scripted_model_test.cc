#include "server/engine/scripted_model.h"

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/engine/sampler.h"

namespace kvrecall {
namespace {

std::vector<int64_t> Generate(Model& model, int64_t steps) {
  const std::vector<int64_t> prompt = {5, 6, 7, 8};
  auto sequence = model.NewSequence(64);
  EXPECT_TRUE(model.Prefill(**sequence, std::span(prompt).first(3), {}).ok());
  std::vector<int64_t> tokens;
  int64_t token = prompt.back();
  for (int64_t i = 0; i < steps; ++i) {
    const StepInput input{sequence->get(), token};
    auto step = model.Step({&input, 1});
    EXPECT_TRUE(step.ok());
    EXPECT_NEAR((*step)[0].rows.sum(-1).min().item<float>(), 1, 1e-5);
    tokens.push_back(token = GreedyToken((*step)[0].logits));
  }
  return tokens;
}

TEST(ScriptedModelTest, TheSameSeedSaysTheSame) {
  ScriptedModelOptions options;
  auto a = MakeScriptedModel(options), b = MakeScriptedModel(options);
  options.seed = 2;
  auto c = MakeScriptedModel(options);
  const std::vector<int64_t> tokens = Generate(*a, 20);
  EXPECT_EQ(tokens, Generate(*b, 20));
  EXPECT_NE(tokens, Generate(*c, 20));
}

TEST(ScriptedModelTest, EosComesWhereItIsAskedFor) {
  ScriptedModelOptions options;
  options.eos_every = 6;
  auto model = MakeScriptedModel(options);
  const std::vector<int64_t> tokens = Generate(*model, 3);
  EXPECT_NE(tokens[0], options.eos_token);
  EXPECT_NE(tokens[1], options.eos_token);
  EXPECT_EQ(tokens[2], options.eos_token);  // position 6
}

TEST(ScriptedModelTest, PrefillSumsEqualTheRowsOfSteps) {
  auto a = MakeScriptedModel({}), b = MakeScriptedModel({});
  const std::vector<int64_t> prompt = {3, 1, 4, 1, 5};
  auto whole = a->NewSequence(8), stepped = b->NewSequence(8);
  auto prefill = a->Prefill(**whole, prompt, {});
  at::Tensor sums = at::zeros({2, 2, 5});
  ASSERT_TRUE(b->Prefill(**stepped, {}, {}).ok());
  for (int64_t token : prompt) {
    const StepInput input{stepped->get(), token};
    auto step = b->Step({&input, 1});
    const at::Tensor rows = (*step)[0].rows;
    sums.narrow(2, 0, rows.size(2)).add_(rows);
  }
  EXPECT_LE((prefill->sums - sums).abs().max().item<float>(), 1e-6);
}

TEST(ScriptedModelTest, TheHookPutsFaultsIn) {
  ScriptedModelOptions options;
  options.hook = [](const ScriptedPoint& point) {
    return point.phase == ScriptedPoint::Phase::kStep && point.positions == 4
               ? absl::ResourceExhaustedError("out of memory")
               : absl::OkStatus();
  };
  options.nan_logits = [](int64_t position) { return position == 3; };
  auto model = MakeScriptedModel(options);
  auto sequence = model->NewSequence(8);
  const std::vector<int64_t> prompt = {1, 2, 3};
  ASSERT_TRUE(model->Prefill(**sequence, prompt, {}).ok());
  const StepInput input{sequence->get(), 4};
  auto nan = model->Step({&input, 1});
  ASSERT_TRUE(nan.ok());
  EXPECT_FALSE((*nan)[0].logits.isfinite().all().item<bool>());
  EXPECT_EQ(model->Step({&input, 1}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace kvrecall
