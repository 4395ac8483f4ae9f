#include "server/engine/memory.h"

#include <fstream>
#include <string>

#include "ATen/ATen.h"
#include "c10/core/InferenceMode.h"
#include <gtest/gtest.h>

#include "server/engine/hf_model.h"

namespace kvrecall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

HfConfig SmallShape() {
  HfConfig config;
  config.architecture = "Qwen2ForCausalLM";
  config.layers = 2;
  config.hidden_size = 64;
  config.query_heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.intermediate_size = 128;
  config.vocabulary = 512;
  config.context_window = 1 << 16;
  config.rms_norm_eps = 1e-6;
  return config;
}

ModelInfo SmallInfo() {
  ModelInfo info;
  info.layers = 2;
  info.kv_heads = 2;
  info.query_heads = 4;
  info.head_dim = 16;
  info.hidden_size = 64;
  info.vocabulary = 512;
  info.dtype = "float32";
  info.prefill_chunk = 512;
  info.kv_bytes_per_token = 512;
  return info;
}

TEST(MemoryNeedTest, GrowsWithTheTextAlone) {
  const ModelInfo info = SmallInfo();
  const MemoryNeed one = NeedOf(info, 128, 10000);
  const MemoryNeed two = NeedOf(info, 128, 20000);
  EXPECT_EQ(one.kv_cache, 10000 * 512);
  EXPECT_EQ(two.kv_cache, 2 * one.kv_cache);
  EXPECT_EQ(two.statistics, 2 * one.statistics);
  EXPECT_EQ(two.workspace, one.workspace);
}

TEST(MemoryNeedTest, TheLargestContextIsTheLastThatFits) {
  const ModelInfo info = SmallInfo();
  const int64_t free = NeedOf(info, 128, 4321).total();
  EXPECT_EQ(LargestContext(info, 128, 100000, free), 4321);
TEST(MemoryNeedTest, AnObserverCountsWhereItHoldsMoreThanIsUsual) {
  const ModelInfo info = SmallInfo();
  const int64_t usual = NeedOf(info, 128, 10000).statistics;
  EXPECT_EQ(NeedOf(info, 128, 10000, usual / 2).statistics, usual);
  EXPECT_EQ(NeedOf(info, 128, 10000, 5 * usual).statistics, 5 * usual);
}

  EXPECT_EQ(LargestContext(info, 128, 4000, free), 4000);
  EXPECT_EQ(LargestContext(info, 128, 4000, 0), 0);
}

TEST(MemoryNeedTest, RefusesWithTheNumbers) {
  const absl::Status status = CheckMemory(
      "a text of 9 positions", {3LL << 30, 1LL << 30, 1LL << 29}, 4LL << 30);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "a text of 9 positions needs 4.50 GiB of memory beside the weights "
            "(KV cache 3.00 GiB, statistics 1.00 GiB, work space 0.50 GiB); "
            "4.00 GiB is free");
}

TEST(MemoryNeedTest, TheSystemSaysWhatIsFree) {
  const int64_t free = FreeMemory(at::kCPU);
  EXPECT_GT(free, kMiB);
}

TEST(ContextTest, IsWhatMemoryHasRoomForUnlessItWasAskedFor) {
  HfModelOptions options;
  options.device = "cpu";
  options.dtype = "float32";
  options.memory = 80 * kMiB;
  auto model = MakeRandomHfModel(SmallShape(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  const int64_t fits = (*model)->info().context_window;
  EXPECT_GT(fits, 1000);
  EXPECT_LT(fits, 1 << 16);
  EXPECT_TRUE((*model)->NewSequence(fits).ok());
  EXPECT_EQ((*model)->NewSequence(fits + 1).status().code(),
            absl::StatusCode::kInvalidArgument);

  options.max_context = static_cast<int64_t>(fits) + 1;
  const absl::Status status = MakeRandomHfModel(SmallShape(), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("room for " + std::to_string(fits)),
            std::string::npos)
      << status;
}

int64_t StatusBytes(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;)
    if (word == field) {
      int64_t kilobytes = 0;
      in >> kilobytes;
      return kilobytes * 1024;
    }
  return 0;
}

// The most resident bytes that a text of n positions adds.
int64_t PeakOf(Model& model, int64_t n) {
  const c10::InferenceMode guard;
  std::vector<int64_t> tokens(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) tokens[static_cast<size_t>(i)] = i * 7 % 512;
  const int64_t before = StatusBytes("VmRSS:");
  std::ofstream("/proc/self/clear_refs") << "5";
  auto sequence = model.NewSequence(n);
  EXPECT_TRUE(sequence.ok()) << sequence.status();
  PrefillOptions options;
  options.windows = {32};
  auto seen = model.Prefill(
      **sequence, std::span(tokens).first(static_cast<size_t>(n) - 1), options);
  EXPECT_TRUE(seen.ok()) << seen.status();
  const StepInput input{sequence->get(), tokens.back()};
  EXPECT_TRUE(model.Step({&input, 1}).ok());
  return StatusBytes("VmHWM:") - before;
}

// Twice the text takes at most twice the memory, and what was promised: one
// layer's attention matrix of a single head would be 256 MiB at n = 8192.
TEST(MemoryGrowthTest, IsLinear) {
  std::ofstream reset("/proc/self/clear_refs");
  if (!(reset << "5") || !reset.flush())
    GTEST_SKIP() << "this system does not reset VmHWM";
  HfModelOptions options;
  options.device = "cpu";
  options.dtype = "float32";
  auto model = MakeRandomHfModel(SmallShape(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  PeakOf(**model, 2048);  // kernels are compiled, arenas are there
  const int64_t once = PeakOf(**model, 4096);
  const int64_t twice = PeakOf(**model, 8192);
  const int64_t four_times = PeakOf(**model, 16384);
  std::printf("[ figures  ] peak %.1f, %.1f, %.1f MiB\n",
              static_cast<double>(once) / kMiB,
              static_cast<double>(twice) / kMiB,
              static_cast<double>(four_times) / kMiB);
  constexpr int64_t kNoise = 8 * kMiB;
  EXPECT_LE(twice, 2 * once + kNoise);
  EXPECT_LE(four_times, 2 * twice + kNoise);
  for (const auto& [n, peak] : {std::pair{int64_t{4096}, once},
                                {int64_t{8192}, twice},
                                {int64_t{16384}, four_times}})
    EXPECT_LE(peak, NeedOf((*model)->info(), 128, n).total()) << n;
}

}  // namespace
}  // namespace kvrecall
  EXPECT_EQ((*model)->NewSequence(1000, 64 * kMiB).status().code(),
            absl::StatusCode::kResourceExhausted)
      << "no room for what an observer would hold";
