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
  options.nan_logits =
      options.nan_rows = [](int64_t position) { return position == 3; };
  auto model = MakeScriptedModel(options);
  auto sequence = model->NewSequence(8);
  const std::vector<int64_t> prompt = {1, 2, 3};
  ASSERT_TRUE(model->Prefill(**sequence, prompt, {}).ok());
  StepInput input{sequence->get(), 4};
  input.rows = true;
  auto nan = model->Step({&input, 1});
  ASSERT_TRUE(nan.ok());
  EXPECT_FALSE((*nan)[0].logits.isfinite().all().item<bool>());
  EXPECT_EQ((*nan)[0].rows.isnan().sum().item<int64_t>(),
            (*nan)[0].rows.size(0) * (*nan)[0].rows.size(1));
  EXPECT_EQ(model->Step({&input, 1}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// A sequence that has just made a step.
std::unique_ptr<Sequence> Stepped(Model& model, StepObservation* step) {
  auto sequence = model.NewSequence(16);
  const std::vector<int64_t> prompt = {1, 2, 3, 4, 5};
  EXPECT_TRUE(model.Prefill(**sequence, prompt, {}).ok());
  const StepInput input{sequence->get(), 6};
  auto steps = model.Step({&input, 1});
  EXPECT_TRUE(steps.ok());
  *step = (*steps)[0];
  return *std::move(sequence);
}

TEST(ScriptedModelTest, MaskedStepsMoveWithWhatIsHidden) {
  auto model = MakeScriptedModel({});
  StepObservation step;
  const auto sequence = Stepped(*model, &step);
  const at::Tensor all = at::ones({1, 5}, at::kByte);
  at::Tensor first = all.clone(), last = all.clone();
  first[0][0].zero_();
  last[0][4].zero_();
  const at::Tensor nothing = at::zeros({1, 5}, at::kByte);
  const std::vector<at::Tensor> masks = {all,   at::ones({4, 5}, at::kByte),
                                         first, first.repeat({2, 1}),
                                         last,  nothing};
  const auto logits = model->StepMasked(*sequence, 6, masks);
  ASSERT_TRUE(logits.ok()) << logits.status();
  ASSERT_EQ(logits->sizes(), (std::vector<int64_t>{6, 512}));
  EXPECT_TRUE(at::equal((*logits)[0], step.logits));
  EXPECT_TRUE(at::equal((*logits)[1], step.logits));
  const auto moved = [&](int64_t lane) {
    return ((*logits)[lane] - step.logits).abs().max().item<float>();
  };
  for (const int64_t lane : {2, 3, 4, 5}) EXPECT_GT(moved(lane), 0) << lane;
  EXPECT_GT(moved(5), moved(2));
  EXPECT_FALSE(at::equal((*logits)[2], (*logits)[4]));
  const auto again = model->StepMasked(*sequence, 6, masks);
  EXPECT_TRUE(at::equal(*again, *logits));
  EXPECT_EQ(sequence->length(), 6);
  EXPECT_EQ(model->StepMasked(*sequence, 512, masks).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(model->StepMasked(*sequence, 6, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ScriptedModelTest, LanesBesideTheNextStepAreThoseBeforeIt) {
  auto model = MakeScriptedModel({});
  StepObservation step;
  const auto sequence = Stepped(*model, &step);
  const std::vector<at::Tensor> masks = {at::ones({1, 5}, at::kByte),
                                         at::zeros({4, 5}, at::kByte)};
  const auto before = model->StepMasked(*sequence, 6, masks);
  ASSERT_TRUE(before.ok());
  const StepInput input{sequence.get(), 9, true, {6, masks}};
  const auto next = model->Step({&input, 1});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(at::equal((*next)[0].lanes, *before));
  EXPECT_EQ(sequence->length(), 7);
}

TEST(ScriptedModelTest, TheHookSeesMaskedSteps) {
  ScriptedModelOptions options;
  options.hook = [](const ScriptedPoint& point) {
    return point.phase == ScriptedPoint::Phase::kMaskedStep
               ? absl::InternalError("broken lane")
               : absl::OkStatus();
  };
  auto model = MakeScriptedModel(options);
  StepObservation step;
  const auto sequence = Stepped(*model, &step);
  const std::vector<at::Tensor> masks = {at::ones({1, 5}, at::kByte)};
  EXPECT_EQ(model->StepMasked(*sequence, 6, masks).status().code(),
            absl::StatusCode::kInternal);
}

TEST(ScriptedModelTest, KeysBelongToTheTextAndProductsToThem) {
  auto model = MakeScriptedModel({});
  StepObservation step;
  const auto a = Stepped(*model, &step), b = Stepped(*model, &step);
  const at::Tensor keys = a->Keys(0, 6);
  ASSERT_EQ(keys.sizes(), (std::vector<int64_t>{2, 2, 6, 2}));
  EXPECT_TRUE(at::equal(b->Keys(0, 6), keys));
  EXPECT_TRUE(at::equal(a->Keys(2, 3), keys.narrow(2, 2, 3)));
  EXPECT_LE(keys.abs().max().item<float>(), 1);
  EXPECT_EQ(std::get<0>(at::_unique(keys)).numel(), keys.numel());
  auto other = model->NewSequence(16);
  ASSERT_TRUE(model->Prefill(**other, std::vector<int64_t>{1, 3, 2}, {}).ok());
  EXPECT_TRUE(at::equal((*other)->Keys(0, 1), keys.narrow(2, 0, 1)));
  EXPECT_FALSE(at::equal((*other)->Keys(1, 1), keys.narrow(2, 1, 1)));
  const at::Tensor directions = at::randn({2, 2, 2});
  const at::Tensor want =
      at::matmul(keys.narrow(2, 0, 4), directions.unsqueeze(-1)).squeeze(-1);
  EXPECT_LE((a->KeyProducts(directions, 4) - want).abs().max().item<float>(),
            1e-6);
}

}  // namespace
}  // namespace kvrecall
