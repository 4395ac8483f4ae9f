// Lanes that are limited in what they see, and products of keys: the kernels
// against libtorch's operators in float32 on the CPU, which the CPU's tests
// compare with plain loops; and masked steps of a whole model against the
// model's on the CPU.

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include "server/engine/attention.h"
#include "server/engine/hf_model.h"
#include "tests/gpu/device.h"
#include "tests/gpu/exact_attention.h"
#include "tests/reference/random_checkpoint.h"

namespace kvrecall {
namespace {

struct Shape {
  int64_t lanes, past, query_heads, kv_heads, head_dim;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.lanes << " lanes, past " << s.past << ", heads "
             << s.query_heads << "/" << s.kv_heads << ", size " << s.head_dim;
}

// One layer's past and the lanes that look at it, on the device. Lanes are
// parts of a joined projection, as in use.
struct Case {
  Case(const Shape& s, at::ScalarType dtype) : shape(s) {
    at::manual_seed(s.past);
    const auto draw = [&](std::vector<int64_t> sizes) {
      return at::randn(sizes).to(OnDevice(dtype));
    };
    keys = draw({s.past + 1, s.kv_heads, s.head_dim});
    values = draw({s.past + 1, s.kv_heads, s.head_dim});
    const at::Tensor joined =
        draw({s.lanes, s.query_heads + 2 * s.kv_heads, s.head_dim});
    lanes.queries = joined.narrow(1, 0, s.query_heads).mul_(2);
    lanes.keys = joined.narrow(1, s.query_heads, s.kv_heads);
    lanes.values = joined.narrow(1, s.query_heads + s.kv_heads, s.kv_heads);
    // Everything, nothing, all behind the first splits, a half, the last
    // position; every other mask is one for all heads.
    for (int64_t lane = 0; lane < s.lanes; ++lane) {
      const int64_t rows = lane % 2 == 0 ? s.kv_heads : 1;
      const at::Tensor places = at::arange(s.past).expand({rows, s.past});
      const at::Tensor masks[] = {places.ge(0), places.lt(0), places.ge(300),
                                  at::rand({rows, s.past}).lt(0.5),
                                  places.eq(s.past - 1)};
      lanes.visible.push_back(
          masks[lane % 5].to(OnDevice(at::kByte)).contiguous());
    }
  }

  at::Tensor Attend() const {
    return AttendBy(MakeKvCache, keys.options(), keys, values, lanes);
  }

  // The same in float32 on the CPU.
  at::Tensor AttendSlowly() const {
    const auto wide = [](const at::Tensor& t) {
      return t.cpu().to(at::kFloat);
    };
    LaneQueries slow = {
        wide(lanes.queries), wide(lanes.keys), wide(lanes.values), {}};
    for (const at::Tensor& mask : lanes.visible)
      slow.visible.push_back(mask.cpu());
    return AttendBy(MakeAtenKvCache, at::TensorOptions(at::kFloat), wide(keys),
                    wide(values), slow);
  }

  template <typename MakeCache>
  at::Tensor AttendBy(MakeCache make, const at::TensorOptions& options,
                      const at::Tensor& k, const at::Tensor& v,
                      const LaneQueries& queries) const {
    const std::unique_ptr<KvCache> cache =
        make({2, shape.kv_heads, shape.head_dim, shape.past + 1}, options);
    // Behind the past what the oracle wrote for the lanes' position.
    cache->Write(1, 0, k, v);
    return cache->AttendMasked(1, shape.past, queries);
  }

  Shape shape;
  at::Tensor keys, values;  // [past + 1, kv_heads, head_dim]
  LaneQueries lanes;
};

class GpuMaskedTest : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(GpuMaskedTest, EqualsLibtorchsOperators) {
  for (const Shape& shape :
       {Shape{1, 0, 1, 1, 32}, Shape{3, 0, 8, 2, 64}, Shape{2, 1, 2, 2, 32},
        Shape{6, 15, 14, 2, 64}, Shape{5, 128, 6, 2, 32},
        Shape{3, 129, 8, 1, 128}, Shape{7, 511, 4, 4, 64},
        Shape{2, 700, 12, 3, 112}, Shape{6, 1023, 7, 1, 80},
        Shape{20, 1300, 28, 4, 128}, Shape{5, 300, 18, 2, 64},
        Shape{4, 300, 4, 2, 6}, Shape{9, 32000, 28, 4, 128}}) {
    SCOPED_TRACE(shape);
    const Case c(shape, GetParam());
    const at::Tensor output = c.Attend();
    EXPECT_EQ(output.scalar_type(), GetParam());
    EXPECT_LE(WorstError(output, c.AttendSlowly()),
              GetParam() == at::kFloat ? 1e-5 : 1e-2);
    EXPECT_TRUE(SameBits(output, c.Attend()));
  }
}

// Whatever stands there: of hidden positions, and of what the cache holds for
// the lanes' own.
TEST_P(GpuMaskedTest, WhatIsHiddenPlaysNoPart) {
  Case c({4, 600, 8, 2, 32}, GetParam());
  for (at::Tensor& mask : c.lanes.visible) {
    mask = at::ones({2, 600}, OnDevice(at::kByte));
    mask.narrow(1, 100, 300).zero_();
  }
  const at::Tensor output = c.Attend();
  for (const auto& [first, count] : {std::pair(100, 300), std::pair(600, 1)}) {
    c.keys.narrow(0, first, count).mul_(1000);
    c.values.narrow(0, first, count).fill_(1e30);
  }
  EXPECT_TRUE(SameBits(c.Attend(), output));
}

TEST_P(GpuMaskedTest, ALanesNeighboursChangeNoBitOfIt) {
  const Case c({18, 1100, 14, 2, 64}, GetParam());
  const at::Tensor together = c.Attend();
  for (const int64_t lane : {0, 7, 15, 16, 17}) {
    Case alone = c;
    alone.lanes = {c.lanes.queries.narrow(0, lane, 1),
                   c.lanes.keys.narrow(0, lane, 1),
                   c.lanes.values.narrow(0, lane, 1),
                   {c.lanes.visible[lane]}};
    EXPECT_TRUE(SameBits(alone.Attend()[0], together[lane])) << lane;
  }
}

TEST_P(GpuMaskedTest, KeyProductsEqualTheExactOnes) {
  at::manual_seed(26);
  constexpr int64_t kLayers = 3, kHeads = 2;
  for (const int64_t head_dim : {6, 8, 32, 64, 80, 128})
    for (const int64_t positions : {0, 1, 127, 128, 129, 3000}) {
      SCOPED_TRACE(::testing::Message()
                   << "size " << head_dim << ", N " << positions);
      const std::unique_ptr<KvCache> cache =
          MakeKvCache({kLayers, kHeads, head_dim, 3010}, OnDevice(GetParam()));
      const at::Tensor keys =
          at::randn({kLayers, 3005, kHeads, head_dim}).to(OnDevice(GetParam()));
      for (int64_t l = 0; l < kLayers; ++l)
        cache->Write(l, 0, keys[l], keys[l]);
      const at::Tensor directions = at::randn({kLayers, kHeads, head_dim});
      const at::Tensor products =
          cache->KeyProducts(directions.to(OnDevice(at::kFloat)), positions);
      const at::Tensor want =
          (keys.cpu().narrow(1, 0, positions).to(at::kDouble) *
           directions.to(at::kDouble).unsqueeze(1))
              .sum(-1)
              .transpose(1, 2);
      ASSERT_EQ(products.sizes(), want.sizes());
      EXPECT_EQ(products.scalar_type(), at::kFloat);
      if (positions > 0) {
        EXPECT_LE(WorstError(products, want), 1e-6);
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, GpuMaskedTest,
                         ::testing::Values(at::kFloat, at::kBFloat16));

// Four layers, eight query heads on two KV heads.
class GpuMaskedStepTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    directory_ = ::mkdtemp(name);
    shape_.layers = 4;
    shape_.query_heads = 8;
    shape_.hidden = 64;
    shape_.context_window = 2048;
    WriteRandomCheckpoint(shape_, directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // Logits of the step, and of the lanes of these masks: [1 + lanes, V], on the
  // CPU.
  at::Tensor Logits(const std::string& device, const std::string& dtype,
                    int64_t tokens, const std::vector<at::Tensor>& visible) {
    HfModelOptions options;
    options.dtype = dtype;
    options.device = device;
    auto model = LoadHfModel(directory_, options);
    EXPECT_TRUE(model.ok()) << model.status();
    auto sequence = (*model)->NewSequence(tokens + 2);
    EXPECT_TRUE(sequence.ok()) << sequence.status();
    std::vector<int64_t> prompt;
    for (int64_t i = 0; i + 1 < tokens; ++i)
      prompt.push_back((i * 37 + 11) % 300);
    EXPECT_TRUE((*model)->Prefill(**sequence, prompt, {}).ok());
    const StepInput input{sequence->get(), 123};
    const auto step = (*model)->Step({&input, 1});
    EXPECT_TRUE(step.ok()) << step.status();
    const auto lanes = (*model)->StepMasked(**sequence, 123, visible);
    EXPECT_TRUE(lanes.ok()) << lanes.status();
    // Beside the next step they are the same.
    const StepInput next{sequence->get(), 7, true, {123, visible}};
    const auto after = (*model)->Step({&next, 1});
    EXPECT_TRUE(after.ok()) << after.status();
    EXPECT_TRUE(at::equal((*after)[0].lanes, *lanes));
    return at::cat({(*step)[0].logits.unsqueeze(0), *lanes}).cpu();
  }

  CheckpointShape shape_ = TinyShape();
  std::string directory_;
};

TEST_F(GpuMaskedStepTest, EqualsTheStepOnTheCpu) {
  for (const int64_t tokens : {2, 100, 400}) {
    SCOPED_TRACE(tokens);
    const int64_t past = tokens - 1;
    at::manual_seed(5);
    std::vector<at::Tensor> masks;
    for (const int64_t rows :
         {int64_t{1}, shape_.layers, shape_.layers * shape_.kv_heads}) {
      masks.push_back(at::ones({rows, past}, at::kByte));
      masks.push_back(at::zeros({rows, past}, at::kByte));
      masks.push_back(at::rand({rows, past}).lt(0.3).to(at::kByte));
    }
    const at::Tensor want = Logits("cpu", "float32", tokens, masks);
    EXPECT_LE(WorstError(Logits("cuda", "float32", tokens, masks), want), 1e-4);
    const at::Tensor rounded = Logits("cuda", "bfloat16", tokens, masks);
    EXPECT_LE(WorstError(rounded, want), 0.1);
    // A lane that sees everything is the step.
    EXPECT_LE(WorstError(rounded[1], rounded[0]), 0.05);
  }
}

}  // namespace
}  // namespace kvrecall
