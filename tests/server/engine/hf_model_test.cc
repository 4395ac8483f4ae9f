#include "server/engine/hf_model.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "ATen/ATen.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include "server/cpu/kernels.h"
#include "server/engine/hf_weights.h"
#include "server/engine/memory.h"
#include "tests/reference/random_checkpoint.h"
#include "tests/server/engine/cache_makers.h"

namespace kvrecall {
namespace {

class HfModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    directory_ = ::mkdtemp(name);
    WriteRandomCheckpoint(TinyShape(), directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Model> Load(int64_t chunk = 256,
                              const std::string& dtype = "float32",
                              int threads = 0) {
    HfModelOptions options;
    options.threads = threads;
    options.name = "tiny";
    options.dtype = dtype;
    options.device = "cpu";
    options.prefill_chunk = chunk;
    auto model = LoadHfModel(directory_, options);
    EXPECT_TRUE(model.ok()) << model.status();
    return std::move(model).value();
  }

  static std::vector<int64_t> Tokens(int64_t count) {
    std::vector<int64_t> tokens;
    for (int64_t i = 0; i < count; ++i) tokens.push_back((i * 37 + 11) % 300);
    return tokens;
  }

  std::string directory_;
};

// Feeds all tokens, the last as a step.
std::pair<PrefillObservation, StepObservation> Generate(
    Model& model, const std::vector<int64_t>& tokens,
    PrefillOptions options = {}) {
  auto sequence = model.NewSequence(static_cast<int64_t>(tokens.size()));
  EXPECT_TRUE(sequence.ok()) << sequence.status();
  auto prefill = model.Prefill(
      **sequence, std::span(tokens).first(tokens.size() - 1), options);
  EXPECT_TRUE(prefill.ok()) << prefill.status();
  const StepInput input{sequence->get(), tokens.back()};
  auto step = model.Step({&input, 1});
  EXPECT_TRUE(step.ok()) << step.status();
  return {*prefill, (*step)[0]};
}

double RelativeDifference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

// The operator's own test holds sums to 1e-6. Through the whole model the
// matrix products of another chunk size round otherwise, so queries and keys
// already differ in their last bits.
TEST_F(HfModelTest, ChunkSizeChangesNothingButRounding) {
  const std::vector<int64_t> tokens = Tokens(150);
  PrefillOptions options;
  options.windows = {1, 8, 32, 1000};
  const auto [one, one_step] = Generate(*Load(1000), tokens, options);
  for (int64_t chunk : {1, 7, 64}) {
    const auto [many, many_step] = Generate(*Load(chunk), tokens, options);
    EXPECT_LE(RelativeDifference(many.sums, one.sums), 1e-5) << chunk;
    EXPECT_LE(RelativeDifference(many.last_row, one.last_row), 1e-5);
    for (size_t w = 1; w < options.windows.size(); ++w)
      EXPECT_LE(RelativeDifference(many.window_sums[w], one.window_sums[w]),
                1e-5)
          << chunk << " " << w;
    EXPECT_LE(RelativeDifference(many_step.logits, one_step.logits), 1e-5);
    EXPECT_LE(RelativeDifference(many_step.rows, one_step.rows), 1e-5);
  }
}

TEST_F(HfModelTest, WindowsCoverTheLastQueries) {
  PrefillOptions options;
  options.windows = {1, 2, 1000};
  const auto [prefill, step] = Generate(*Load(16), Tokens(50), options);
  // w − 1 queries: none, the last one, all.
  EXPECT_EQ(prefill.window_sums[0].abs().max().item<float>(), 0);
  EXPECT_LE(RelativeDifference(prefill.window_sums[1], prefill.last_row), 1e-6);
  EXPECT_LE(RelativeDifference(prefill.window_sums[2], prefill.sums), 1e-6);
}

TEST_F(HfModelTest, RowsSumToOneAndSumsToTheirQueries) {
  const auto [prefill, step] = Generate(*Load(16), Tokens(50));
  EXPECT_LE((step.rows.sum(-1) - 1).abs().max().item<double>(), 1e-5);
  EXPECT_LE((prefill.sums.sum(-1) - 49).abs().max().item<double>(), 1e-3);
}

TEST_F(HfModelTest, OneTokenPromptPrefillsNothing) {
  const auto [prefill, step] = Generate(*Load(), Tokens(1));
  EXPECT_EQ(prefill.sums.size(2), 0);
  EXPECT_EQ(step.rows.size(2), 1);
  EXPECT_EQ(step.rows.min().item<float>(), 1);
}

TEST_F(HfModelTest, SameTokensGiveTheSameBits) {
  auto model = Load(16);
  const auto [a, a_step] = Generate(*model, Tokens(100));
  const auto [b, b_step] = Generate(*model, Tokens(100));
  EXPECT_TRUE(at::equal(a.sums, b.sums));
  EXPECT_TRUE(at::equal(a_step.logits, b_step.logits));
  EXPECT_TRUE(at::equal(a_step.rows, b_step.rows));
}

TEST_F(HfModelTest, StatisticsChangeNoBitOfTheModel) {
  auto model = Load(16);
  const std::vector<int64_t> tokens = Tokens(100);
  const auto with = Generate(*model, tokens).second;
  auto sequence = model->NewSequence(100);
  PrefillOptions options;
  options.statistics = false;
  auto prefill =
      model->Prefill(**sequence, std::span(tokens).first(99), options);
  ASSERT_TRUE(prefill.ok());
  EXPECT_FALSE(prefill->sums.defined());
  const StepInput input{sequence->get(), tokens.back(), /*rows=*/false};
  auto without = model->Step({&input, 1});
  ASSERT_TRUE(without.ok());
  EXPECT_FALSE((*without)[0].rows.defined());
  EXPECT_TRUE(at::equal((*without)[0].logits, with.logits));
}

TEST_F(HfModelTest, ALoadedAgainModelGivesTheSameBits) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const auto [a, a_step] = Generate(*Load(16, dtype), Tokens(100));
    const auto [b, b_step] = Generate(*Load(16, dtype), Tokens(100));
    EXPECT_TRUE(at::equal(a.sums, b.sums));
    EXPECT_TRUE(at::equal(a_step.logits, b_step.logits));
    EXPECT_TRUE(at::equal(a_step.rows, b_step.rows));
  }
}

// A text of single steps: products of few rows and attention of one query.
TEST_F(HfModelTest, StepsDoNotDependOnTheThreads) {
  const ThreadCount restored(1);
  const std::vector<int64_t> tokens = Tokens(40);
  for (const char* dtype : {"float32", "bfloat16"}) {
    StepObservation one;
    for (const int threads : {1, 2, 3, 5}) {
      auto model = Load(16, dtype, threads);
      EXPECT_EQ(model->info().threads, threads);
      auto sequence = model->NewSequence(40);
      ASSERT_TRUE(sequence.ok());
      StepObservation last;
      for (const int64_t token : tokens) {
        const StepInput input{sequence->get(), token};
        last = (*model->Step({&input, 1}))[0];
      }
      if (threads == 1) one = last;
      EXPECT_TRUE(at::equal(last.logits, one.logits)) << dtype << threads;
      EXPECT_TRUE(at::equal(last.rows, one.rows)) << dtype << threads;
    }
  }
}

TEST_F(HfModelTest, RaggedSequencesStepTogether) {
  auto model = Load();
  const std::vector<int64_t> shorter = Tokens(9), longer = Tokens(40);
  auto a = model->NewSequence(16), b = model->NewSequence(64);
  ASSERT_TRUE(model->Prefill(**a, std::span(shorter).first(8), {}).ok());
  ASSERT_TRUE(model->Prefill(**b, std::span(longer).first(39), {}).ok());
  const std::vector<StepInput> inputs = {{a->get(), shorter.back()},
                                         {b->get(), longer.back()}};
  auto together = model->Step(inputs);
  ASSERT_TRUE(together.ok()) << together.status();
  const auto alone_a = Generate(*model, shorter).second;
  const auto alone_b = Generate(*model, longer).second;
  EXPECT_LE(RelativeDifference((*together)[0].logits, alone_a.logits), 1e-5);
  EXPECT_LE(RelativeDifference((*together)[1].logits, alone_b.logits), 1e-5);
  EXPECT_LE(RelativeDifference((*together)[1].rows, alone_b.rows), 1e-5);
}

TEST_F(HfModelTest, Bfloat16IsNearFloat32) {
  const auto exact = Generate(*Load(), Tokens(60));
  const auto rough = Generate(*Load(256, "bfloat16"), Tokens(60));
  EXPECT_LE(RelativeDifference(rough.second.logits, exact.second.logits), 0.1);
  EXPECT_LE(RelativeDifference(rough.first.sums, exact.first.sums), 0.1);
  EXPECT_EQ(rough.second.logits.scalar_type(), at::kFloat);
  EXPECT_EQ(rough.second.rows.scalar_type(), at::kFloat);
}

TEST_F(HfModelTest, RefusesWhatDoesNotFit) {
  auto model = Load();
  EXPECT_FALSE(model->NewSequence(513).ok());
  auto sequence = model->NewSequence(4);
  EXPECT_FALSE(model->Prefill(**sequence, Tokens(5), {}).ok());
  const std::vector<int64_t> outside = {300};
  EXPECT_FALSE(model->Prefill(**sequence, outside, {}).ok());
  ASSERT_TRUE(model->Prefill(**sequence, Tokens(4), {}).ok());
  EXPECT_FALSE(model->Prefill(**sequence, Tokens(1), {}).ok());
  const StepInput full{sequence->get(), 1};
  EXPECT_FALSE(model->Step({&full, 1}).ok());
}

TEST_F(HfModelTest, CancelStopsBetweenChunks) {
  auto model = Load(8);
  auto sequence = model->NewSequence(100);
  const std::atomic<bool> cancelled = true;
  PrefillOptions options;
  options.cancelled = &cancelled;
  EXPECT_EQ(model->Prefill(**sequence, Tokens(50), options).status().code(),
            absl::StatusCode::kCancelled);
}

nlohmann::json TinyMistral() {
  return {{"architectures", {"MistralForCausalLM"}},
          {"model_type", "mistral"},
          {"hidden_size", 32},
          {"intermediate_size", 48},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 8},
          {"vocab_size", 300},
          {"max_position_embeddings", 512},
          {"sliding_window", nullptr},
          {"tie_word_embeddings", false}};
}

// Each weight is rounded to 11 bits on its way to the file, then read exactly.
TEST_F(HfModelTest, Float16WeightsAreConvertedToTheRunsDtype) {
  WriteRandomCheckpoint(TinyMistral(), "F32", directory_);
  const auto exact = Generate(*Load(), Tokens(60)).second;
  WriteRandomCheckpoint(TinyMistral(), "F16", directory_);
  const auto half = Generate(*Load(), Tokens(60)).second;
  const double difference = RelativeDifference(half.logits, exact.logits);
  EXPECT_LE(difference, 5e-3);
  EXPECT_GT(difference, 0);
  auto model = Load(256, "bfloat16");
  EXPECT_EQ(model->info().weight_bytes % 2, 0);
  const auto rough = Generate(*model, Tokens(60)).second;
  EXPECT_LE(RelativeDifference(rough.logits, exact.logits), 0.1);
}

// Full attention equals a window that the context does not outgrow.
TEST_F(HfModelTest, ASlidingWindowLimitsTheContext) {
  auto config = TinyMistral();
  config["sliding_window"] = 64;
  WriteRandomCheckpoint(config, "F32", directory_);
  HfModelOptions options;
  options.device = "cpu";
  const auto refused = LoadHfModel(directory_, options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  for (const char* part : {"sliding_window", "--max-context 64"})
    EXPECT_NE(refused.status().message().find(part), std::string::npos)
        << refused.status();
  options.max_context = 64;
  const auto model = LoadHfModel(directory_, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().context_window, 64);
}

TEST_F(HfModelTest, ATextThatFindsNoRoomIsRefusedAndTheContextBounded) {
  const CheckpointShape shape = TinyShape();
  const ModelInfo info = Load()->info();
  int64_t free = NeedOf(info, shape.intermediate, shape.context_window).total();
  HfModelOptions options;
  options.device = "cpu";
  options.dtype = "float32";
  options.prefill_chunk = 256;
  options.free_memory = [&free] { return free; };
  auto model = LoadHfModel(directory_, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().context_window, shape.context_window);
  EXPECT_TRUE((*model)->NewSequence(shape.context_window).ok());
  // The tables of its angles are there already.
  free -= NeedOf(info, shape.intermediate, shape.context_window).tables + 1;
  EXPECT_EQ((*model)->NewSequence(shape.context_window).status().code(),
            absl::StatusCode::kResourceExhausted);
  model = LoadHfModel(directory_, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_LT((*model)->info().context_window, shape.context_window);
}

// The format lets a header have any length.
TEST_F(HfModelTest, AFileWhoseNumbersLieOddlyGivesTheSameBits) {
  const auto aligned = Generate(*Load(), Tokens(60)).second;
  const std::string path = directory_ + "/model.safetensors";
  std::ifstream in(path, std::ios::binary);
  std::string file(std::istreambuf_iterator<char>(in), {});
  uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof(header));
  file.insert(sizeof(header) + header, " ");
  ++header;
  std::memcpy(file.data(), &header, sizeof(header));
  // Another file: the mapping of the first may still be in use.
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << file;
  const auto odd = Generate(*Load(), Tokens(60)).second;
  EXPECT_TRUE(at::equal(odd.logits, aligned.logits));
  EXPECT_TRUE(at::equal(odd.rows, aligned.rows));
}

TEST_F(HfModelTest, AutoIsBfloat16WhereTheKernelsInUseAreFastAtIt) {
  HfModelOptions options;
  options.device = "cpu";
  const auto model = LoadHfModel(directory_, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().dtype,
            std::string_view(cpu::BestKernels().name) == "avx512_bf16"
                ? "bfloat16"
                : "float32");
}

TEST_F(HfModelTest, KernelsThatThereAreNotAreRefused) {
  const char* before = std::getenv("KVRECALL_CPU_KERNELS");
  const std::string saved = before == nullptr ? "" : before;
  setenv("KVRECALL_CPU_KERNELS", "sse9", 1);
  HfModelOptions options;
  options.device = "cpu";
  const absl::Status status = LoadHfModel(directory_, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const char* part : {"KVRECALL_CPU_KERNELS", "'sse9'", "generic"})
    EXPECT_NE(status.message().find(part), std::string::npos) << status;
  for (const cpu::Kernels* kernels : cpu::SupportedKernels()) {
    setenv("KVRECALL_CPU_KERNELS", kernels->name, 1);
    EXPECT_TRUE(LoadHfModel(directory_, options).ok());
  }
  // Empty asks for nothing.
  setenv("KVRECALL_CPU_KERNELS", saved.c_str(), 1);
  EXPECT_TRUE(LoadHfModel(directory_, options).ok());
}

TEST_F(HfModelTest, BrokenCheckpointsAreRefusedByName) {
  const HfModelOptions options;
  EXPECT_EQ(LoadHfModel(directory_ + "/none", options).status().code(),
            absl::StatusCode::kNotFound);
  std::filesystem::remove(directory_ + "/model.safetensors");
  EXPECT_EQ(LoadHfModel(directory_, options).status().code(),
            absl::StatusCode::kNotFound);
  CheckpointShape narrow = TinyShape();
  narrow.intermediate = 40;
  WriteRandomCheckpoint(narrow, directory_ + "/narrow");
  std::filesystem::copy_file(directory_ + "/narrow/model.safetensors",
                             directory_ + "/model.safetensors");
  const auto mismatch = LoadHfModel(directory_, options);
  EXPECT_NE(mismatch.status().message().find("mlp.gate_proj.weight"),
            std::string::npos)
      << mismatch.status();
}

}  // namespace
}  // namespace kvrecall
