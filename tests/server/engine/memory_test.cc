#include "server/engine/memory.h"

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "ATen/ATen.h"
#include "c10/core/InferenceMode.h"
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

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

TEST(MemoryNeedTest, AnObserverCountsWhereItHoldsMoreThanIsUsual) {
  const ModelInfo info = SmallInfo();
  const int64_t usual = NeedOf(info, 128, 10000).statistics;
  EXPECT_EQ(NeedOf(info, 128, 10000, usual / 2).statistics, usual);
  EXPECT_EQ(NeedOf(info, 128, 10000, 5 * usual).statistics, 5 * usual);
}

TEST(MemoryNeedTest, TheLargestContextIsTheLastThatFits) {
  const ModelInfo info = SmallInfo();
  const int64_t free = NeedOf(info, 128, 4321).total();
  EXPECT_EQ(LargestContext(info, 128, 100000, free), 4321);
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

TEST(MemoryNeedTest, CountsTheTablesOfThePositions) {
  const ModelInfo info = SmallInfo();
  // Eight cosines and eight sines.
  EXPECT_EQ(NeedOf(info, 128, 1000).tables, 1000 * 16 * 4);
}

TEST(MemoryNeedTest, CountsSumsThatThreadsKeepForThemselves) {
  ModelInfo info = SmallInfo();
  info.device = "cpu";
  info.threads = 2;  // a head each
  const int64_t even = NeedOf(info, 128, 1000).statistics;
  info.threads = 5;
  // Two heads' sums in float64, over all queries and over a window.
  EXPECT_EQ(NeedOf(info, 128, 1000).statistics, even + 5 * 2 * 2 * 1000 * 8);
}

TEST(FreeMemoryTest, TheSystemSaysWhatIsFree) {
  const int64_t free = FreeMemory(at::kCPU);
  EXPECT_GT(free, kMiB);
}

// A system of files that a test writes.
class FreeHostMemoryTest : public ::testing::Test {
 protected:
  FreeHostMemoryTest() {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~FreeHostMemoryTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  // A group with so many bytes left; `cached` of those used can be given up.
  void WriteGroup(const std::string& path, int64_t limit, int64_t used,
                  int64_t cached) const {
    Write(path + "/memory.max", std::to_string(limit));
    Write(path + "/memory.current", std::to_string(used));
    Write(path + "/memory.stat", "anon 77\nactive_file " +
                                     std::to_string(cached - 1) +
                                     "\ninactive_file 1\n");
  }
  int64_t Free() const { return FreeHostMemory(root_.string()); }

  std::filesystem::path root_;
};

TEST_F(FreeHostMemoryTest, IsUnlimitedWhereNothingIsSaid) {
  EXPECT_EQ(Free(), std::numeric_limits<int64_t>::max());
}

TEST_F(FreeHostMemoryTest, IsWhatTheSystemCallsAvailable) {
  Write("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    7 kB\n");
  EXPECT_EQ(Free(), 7 * 1024);
}

TEST_F(FreeHostMemoryTest, CachesOfFilesCanBeHad) {
  WriteGroup("sys/fs/cgroup", 5000, 4000, 300);
  EXPECT_EQ(Free(), 1300);
}

TEST_F(FreeHostMemoryTest, EveryGroupAroundTheProcessCounts) {
  Write("proc/meminfo", "MemAvailable: 900 kB\n");
  Write("proc/self/cgroup", "0::/system.slice/kvrecall.service\n");
  Write("sys/fs/cgroup/system.slice/memory.max", "max");
  Write("sys/fs/cgroup/system.slice/memory.current", "4000");
  WriteGroup("sys/fs/cgroup/system.slice/kvrecall.service", 5000, 4000, 1);
  EXPECT_EQ(Free(), 1001);
  WriteGroup("sys/fs/cgroup/system.slice", 4500, 4000, 1);
  EXPECT_EQ(Free(), 501);
  // Another's limit is not ours.
  WriteGroup("sys/fs/cgroup/other.slice", 10, 5, 1);
  EXPECT_EQ(Free(), 501);
}

TEST_F(FreeHostMemoryTest, ReadsTheFirstVersionOfControlGroups) {
  Write("proc/self/cgroup", "5:cpu,cpuacct:/box\n4:memory:/box/inner\n0::/\n");
  const std::string group = "sys/fs/cgroup/memory/box/inner";
  Write(group + "/memory.limit_in_bytes", "8000");
  Write(group + "/memory.usage_in_bytes", "7000");
  Write(group + "/memory.stat",
        "inactive_file 9\ntotal_inactive_file 20\ntotal_active_file 3\n");
  EXPECT_EQ(Free(), 1023);
  // In a container the host's path is not there, but the group itself is.
  std::filesystem::remove_all(root_ / "sys/fs/cgroup/memory/box");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "600");
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "500");
  EXPECT_EQ(Free(), 100);
}

TEST(ContextTest, IsWhatMemoryHasRoomForUnlessItWasAskedFor) {
  HfModelOptions options;
  options.device = "cpu";
  options.dtype = "float32";
  options.free_memory = [] { return 80 * kMiB; };
  auto model = MakeRandomHfModel(SmallShape(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  const int64_t fits = (*model)->info().context_window;
  EXPECT_GT(fits, 1000);
  EXPECT_LT(fits, 1 << 16);
  EXPECT_EQ((*model)->info().context_limit.find(
                "the model's window of 65536 positions needs "),
            0u)
      << (*model)->info().context_limit;
  EXPECT_TRUE((*model)->NewSequence(fits).ok());
  EXPECT_EQ((*model)->NewSequence(fits + 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*model)->NewSequence(1000, 64 * kMiB).status().code(),
            absl::StatusCode::kResourceExhausted)
      << "no room for what an observer would hold";

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
  // What texts before this one had must not hide what it takes.
  ::malloc_trim(0);
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

TEST(ContextTest, ItsBoundIsNamed) {
  HfModelOptions options;
  options.device = "cpu";
  options.free_memory = [] { return 4096 * kMiB; };
  auto model = MakeRandomHfModel(SmallShape(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().context_limit,
            "the model's window of 65536 positions");
  options.max_context = 5000;
  model = MakeRandomHfModel(SmallShape(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().context_window, 5000);
  EXPECT_EQ((*model)->info().context_limit, "--max-context 5000");
}

TEST(ContextTest, AboveTheModelsWindowIsRefused) {
  HfModelOptions options;
  options.device = "cpu";
  for (const int64_t wanted : {int64_t{-1}, int64_t{(1 << 16) + 1}}) {
    options.max_context = wanted;
    const absl::Status status =
        MakeRandomHfModel(SmallShape(), options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(),
              "--max-context " + std::to_string(wanted) +
                  " is outside 1 … 65536, the model's window");
  }
}

TEST(ContextTest, NoRoomForOnePositionIsRefused) {
  HfModelOptions options;
  options.device = "cpu";
  options.free_memory = [] { return kMiB; };
  const absl::Status status = MakeRandomHfModel(SmallShape(), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("room for 0 positions"), std::string::npos)
      << status;
}

// Another process may have taken what was free at the start.
TEST(ContextTest, EachTextIsCheckedAgain) {
  int64_t free = 4096 * kMiB;
  HfModelOptions options;
  options.device = "cpu";
  options.free_memory = [&free] { return free; };
  auto model = MakeRandomHfModel(SmallShape(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->NewSequence(30000).ok());
  free = 70 * kMiB;
  const absl::Status status = (*model)->NewSequence(30000).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message().find("a text of 30000 positions needs "), 0u)
      << status;
  EXPECT_TRUE((*model)->NewSequence(100).ok());
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
                                {int64_t{16384}, four_times}}) {
    // KV cache, 64 MiB, and 32 bytes per layer, group and position.
    const ModelInfo& info = (*model)->info();
    const int64_t bar = n * info.kv_bytes_per_token + 64 * kMiB +
                        32 * info.layers * info.kv_heads * n;
    EXPECT_LE(peak, bar) << n;
    // What a text is admitted for has telemetry's part in it.
    EXPECT_LE(bar, NeedOf(info, 128, n).total()) << n;
  }
}

}  // namespace
}  // namespace kvrecall
