// HfModel::StepMasked, and what a sequence tells of its keys.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include "server/engine/hf_model.h"
#include "tests/reference/random_checkpoint.h"

namespace kvrecall {
namespace {

// Four layers, eight query heads on two KV heads.
CheckpointShape GroupedShape() {
  CheckpointShape shape = TinyShape();
  shape.layers = 4;
  shape.query_heads = 8;
  shape.hidden = 64;
  shape.context_window = 2048;
  return shape;
}

// A model, and a sequence of it that has just made a step.
struct Stepped {
  std::unique_ptr<Model> model;
  std::unique_ptr<Sequence> sequence;
  int64_t token = 0;
  StepObservation step;

  int64_t past() const { return sequence->length() - 1; }
  absl::StatusOr<at::Tensor> Masked(std::vector<at::Tensor> visible) const {
    return model->StepMasked(*sequence, token, visible);
  }
};

class MaskedStepTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // `tokens` of them, the last as a step.
  Stepped After(const CheckpointShape& shape, int64_t tokens,
                const std::string& dtype = "float32") {
    WriteRandomCheckpoint(shape, directory_);
    HfModelOptions options;
    options.dtype = dtype;
    options.device = "cpu";
    options.prefill_chunk = 64;
    Stepped result;
    auto model = LoadHfModel(directory_, options);
    EXPECT_TRUE(model.ok()) << model.status();
    result.model = *std::move(model);
    auto sequence = result.model->NewSequence(tokens + 4);
    EXPECT_TRUE(sequence.ok()) << sequence.status();
    result.sequence = *std::move(sequence);
    std::vector<int64_t> prompt;
    for (int64_t i = 0; i + 1 < tokens; ++i)
      prompt.push_back((i * 37 + 11) % 300);
    EXPECT_TRUE(result.model->Prefill(*result.sequence, prompt, {}).ok());
    result.token = 123;
    result.step = Step(result, result.token);
    return result;
  }

  static StepObservation Step(const Stepped& text, int64_t token) {
    const StepInput input{text.sequence.get(), token};
    auto step = text.model->Step({&input, 1});
    EXPECT_TRUE(step.ok()) << step.status();
    return (*step)[0];
  }

  std::string directory_;
};

double RelativeDifference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

// On the CPU every row runs through the same operations as a step's only one.
TEST_F(MaskedStepTest, ALaneThatSeesEverythingGivesTheStepsVeryLogits) {
  for (const CheckpointShape& shape : {TinyShape(), GroupedShape()})
    for (const char* dtype : {"float32", "bfloat16"})
      for (const int64_t tokens : {2, 100, 400}) {
        const Stepped text = After(shape, tokens, dtype);
        std::vector<at::Tensor> masks;
        for (const int64_t rows :
             {int64_t{1}, shape.layers, shape.layers * shape.kv_heads})
          masks.push_back(at::ones({rows, text.past()}, at::kByte));
        const auto logits = text.Masked(masks);
        ASSERT_TRUE(logits.ok()) << logits.status();
        ASSERT_EQ(logits->sizes(), (std::vector<int64_t>{3, shape.vocabulary}));
        EXPECT_EQ(logits->scalar_type(), at::kFloat);
        for (int64_t lane = 0; lane < 3; ++lane)
          EXPECT_TRUE(at::equal((*logits)[lane], text.step.logits))
              << dtype << ", " << tokens << " tokens, lane " << lane << ": "
              << RelativeDifference((*logits)[lane], text.step.logits);
      }
}

// Its only weight is 1, wherever its position.
TEST_F(MaskedStepTest, ALaneThatSeesNothingIsATextOfOneToken) {
  const Stepped text = After(GroupedShape(), 300);
  const auto logits = text.Masked({at::zeros({1, text.past()}, at::kByte)});
  ASSERT_TRUE(logits.ok()) << logits.status();
  auto alone = text.model->NewSequence(1);
  ASSERT_TRUE(alone.ok());
  const StepInput input{alone->get(), text.token};
  const auto step = text.model->Step({&input, 1});
  ASSERT_TRUE(step.ok());
  EXPECT_LE(RelativeDifference((*logits)[0], (*step)[0].logits), 1e-5);
  EXPECT_GT(RelativeDifference((*logits)[0], text.step.logits), 1e-2);
}

// What is hidden in one layer or head alone differs from hiding it nowhere and
// everywhere, and rows of a finer mask that are all alike are the coarse one.
TEST_F(MaskedStepTest, MasksReachTheLayersAndHeadsTheyAreFor) {
  const CheckpointShape shape = GroupedShape();
  const Stepped text = After(shape, 120);
  at::manual_seed(5);
  const int64_t heads = shape.layers * shape.kv_heads;
  const at::Tensor one = at::rand({1, text.past()}).lt(0.3).to(at::kByte);
  std::vector<at::Tensor> masks = {one, one.repeat({shape.layers, 1}),
                                   one.repeat({heads, 1})};
  for (int64_t row = 0; row < heads; ++row) {
    masks.push_back(at::ones({heads, text.past()}, at::kByte));
    masks.back()[row].zero_();
  }
  // Both heads of layer 2, by a mask of layers and by one of heads.
  masks.push_back(at::ones({shape.layers, text.past()}, at::kByte));
  masks.back()[2].zero_();
  masks.push_back(at::ones({heads, text.past()}, at::kByte));
  masks.back().narrow(0, 2 * shape.kv_heads, shape.kv_heads).zero_();
  const auto logits = text.Masked(masks);
  ASSERT_TRUE(logits.ok()) << logits.status();
  EXPECT_TRUE(at::equal((*logits)[0], (*logits)[1]));
  EXPECT_TRUE(at::equal((*logits)[0], (*logits)[2]));
  const int64_t last = logits->size(0) - 1;
  EXPECT_TRUE(at::equal((*logits)[last - 1], (*logits)[last]));
  for (int64_t i = 3; i < last; ++i) {
    EXPECT_GT(RelativeDifference((*logits)[i], text.step.logits), 1e-4) << i;
    for (int64_t j = 0; j < i; ++j)
      EXPECT_FALSE(at::equal((*logits)[i], (*logits)[j])) << i << " " << j;
  }
}

// More lanes than share one reading of the weights.
TEST_F(MaskedStepTest, LanesDoNotDependOnTheirNumber) {
  const Stepped text = After(GroupedShape(), 90, "bfloat16");
  at::manual_seed(6);
  std::vector<at::Tensor> masks;
  for (int i = 0; i < 35; ++i)
    masks.push_back(at::rand({1, text.past()}).lt(0.5).to(at::kByte));
  const auto logits = text.Masked(masks);
  ASSERT_TRUE(logits.ok()) << logits.status();
  ASSERT_EQ(logits->size(0), 35);
  for (const int64_t lane : {0, 15, 16, 34}) {
    const auto alone = text.Masked({masks[lane]});
    ASSERT_TRUE(alone.ok());
    EXPECT_TRUE(at::equal((*alone)[0], (*logits)[lane])) << lane;
  }
}

TEST_F(MaskedStepTest, TheSequenceStaysAsItIs) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const Stepped plain = After(GroupedShape(), 260, dtype);
    const Stepped masked = After(GroupedShape(), 260, dtype);
    const at::Tensor keys = masked.sequence->Keys(0, 260);
    for (int i = 0; i < 3; ++i)
      ASSERT_TRUE(masked
                      .Masked({at::zeros({1, 259}, at::kByte),
                               at::ones({4, 259}, at::kByte)})
                      .ok());
    EXPECT_EQ(masked.sequence->length(), 260);
    EXPECT_TRUE(at::equal(masked.sequence->Keys(0, 260), keys));
    for (const int64_t token : {7, 8}) {
      const StepObservation a = Step(plain, token), b = Step(masked, token);
      EXPECT_TRUE(at::equal(a.logits, b.logits));
      EXPECT_TRUE(at::equal(a.rows, b.rows));
    }
  }
}

// Fewer and more than share the step's reading of the weights.
TEST_F(MaskedStepTest, LanesBesideTheNextStepAreThoseBeforeIt) {
  for (const char* dtype : {"float32", "bfloat16"})
    for (const int lanes : {1, 6, 15, 16, 35})
      // The next position is of the same block of positions, or the next one's.
      for (const int64_t tokens : {1, 40, 256}) {
        SCOPED_TRACE(absl::StrCat(dtype, ", ", lanes, " lanes, ", tokens));
        const Stepped plain = After(GroupedShape(), tokens, dtype);
        const Stepped text = After(GroupedShape(), tokens, dtype);
        at::manual_seed(lanes);
        std::vector<at::Tensor> masks;
        for (int i = 0; i < lanes; ++i)
          masks.push_back(at::rand({i % 2 == 0 ? 1 : 8, text.past()})
                              .lt(0.5)
                              .to(at::kByte));
        const auto before = text.Masked(masks);
        ASSERT_TRUE(before.ok()) << before.status();
        StepInput input{text.sequence.get(), 7};
        input.lanes = {text.token, masks};
        const auto step = text.model->Step({&input, 1});
        ASSERT_TRUE(step.ok()) << step.status();
        EXPECT_TRUE(at::equal((*step)[0].lanes, *before));
        const StepObservation alone = Step(plain, 7);
        EXPECT_FALSE(alone.lanes.defined());
        EXPECT_TRUE(at::equal((*step)[0].logits, alone.logits));
        EXPECT_TRUE(at::equal((*step)[0].rows, alone.rows));
        EXPECT_EQ(text.sequence->length(), tokens + 1);
        EXPECT_TRUE(at::equal(text.sequence->Keys(0, tokens + 1),
                              plain.sequence->Keys(0, tokens + 1)));
      }
}

TEST_F(MaskedStepTest, TextsOfOneStepEachHaveTheirOwnLanes) {
  const Stepped a = After(GroupedShape(), 40), b = After(GroupedShape(), 90);
  // Of one model: its sequences step together.
  auto other = a.model->NewSequence(92);
  ASSERT_TRUE(other.ok());
  std::vector<int64_t> prompt;
  for (int64_t i = 0; i + 1 < 90; ++i) prompt.push_back((i * 37 + 11) % 300);
  ASSERT_TRUE(a.model->Prefill(**other, prompt, {}).ok());
  const StepInput first{other->get(), b.token};
  ASSERT_TRUE(a.model->Step({&first, 1}).ok());
  at::manual_seed(9);
  const std::vector<at::Tensor> masks_a = {
      at::rand({1, 39}).lt(0.5).to(at::kByte)};
  const std::vector<at::Tensor> masks_b = {
      at::rand({4, 89}).lt(0.5).to(at::kByte), at::ones({1, 89}, at::kByte)};
  const auto lanes_a = a.Masked(masks_a), lanes_b = b.Masked(masks_b);
  ASSERT_TRUE(lanes_a.ok() && lanes_b.ok());
  const std::vector<StepInput> inputs = {
      {a.sequence.get(), 5, true, {a.token, masks_a}},
      {other->get(), 6, true, {b.token, masks_b}}};
  const auto steps = a.model->Step(inputs);
  ASSERT_TRUE(steps.ok()) << steps.status();
  EXPECT_TRUE(at::equal((*steps)[0].lanes, *lanes_a));
  EXPECT_TRUE(at::equal((*steps)[1].lanes, *lanes_b));
  EXPECT_TRUE(at::equal((*steps)[1].logits, Step(b, 6).logits));
}

TEST_F(MaskedStepTest, OneTokenTextsHaveNothingToHide) {
  const CheckpointShape shape = GroupedShape();
  const Stepped text = After(shape, 1);
  std::vector<at::Tensor> masks;
  for (const int64_t rows :
       {int64_t{1}, shape.layers, shape.layers * shape.kv_heads})
    masks.push_back(at::ones({rows, 0}, at::kByte));
  const auto logits = text.Masked(masks);
  ASSERT_TRUE(logits.ok()) << logits.status();
  for (int64_t lane = 0; lane < 3; ++lane)
    EXPECT_TRUE(at::equal((*logits)[lane], text.step.logits)) << lane;
}

TEST_F(MaskedStepTest, RefusesWhatIsNoLaneByName) {
  const Stepped text = After(GroupedShape(), 10);
  const at::Tensor good = at::ones({1, 9}, at::kByte);
  const auto refused = [&](std::vector<at::Tensor> masks,
                           const std::string& part) {
    const absl::Status status = text.Masked(std::move(masks)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find(part), std::string::npos) << status;
  };
  refused({}, "lane");
  refused({good, at::ones({1, 10}, at::kByte)}, "lane 1 is [1, 10]");
  refused({at::ones({2, 9}, at::kByte)}, "[1, 4 or 8, 9]");
  refused({at::ones({1, 9})}, "bytes");
  refused({at::ones({9}, at::kByte)}, "bytes");
  refused({at::Tensor()}, "bytes");
  auto empty = text.model->NewSequence(4);
  ASSERT_TRUE(empty.ok());
  const std::vector<at::Tensor> masks = {good};
  EXPECT_EQ(text.model->StepMasked(**empty, 1, masks).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(text.model->StepMasked(*text.sequence, 300, masks).status().code(),
            absl::StatusCode::kInvalidArgument);
  const std::vector<at::Tensor> wrong = {at::ones({1, 10}, at::kByte)};
  for (const MaskedLanes& lanes :
       {MaskedLanes{300, masks}, MaskedLanes{123, wrong}}) {
    const StepInput input{text.sequence.get(), 1, true, lanes};
    EXPECT_EQ(text.model->Step({&input, 1}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(text.sequence->length(), 10);
}

TEST_F(MaskedStepTest, KeysAreThoseOfTheTextAndProductsTheirs) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const CheckpointShape shape = GroupedShape();
    const Stepped text = After(shape, 70, dtype);
    const at::Tensor keys = text.sequence->Keys(0, 70);
    EXPECT_EQ(keys.sizes(), (std::vector<int64_t>{shape.layers, shape.kv_heads,
                                                  70, shape.head_dim}));
    EXPECT_EQ(keys.scalar_type(), at::kFloat);
    EXPECT_GT(keys.square().sum(-1).min().item<float>(), 0);
    EXPECT_TRUE(at::equal(text.sequence->Keys(33, 20), keys.narrow(2, 33, 20)));
    at::manual_seed(8);
    const at::Tensor directions =
        at::randn({shape.layers, shape.kv_heads, shape.head_dim});
    EXPECT_LE(RelativeDifference(
                  text.sequence->KeyProducts(directions, 65),
                  at::matmul(keys.narrow(2, 0, 65), directions.unsqueeze(-1))
                      .squeeze(-1)),
              1e-6);
  }
}

}  // namespace
}  // namespace kvrecall
