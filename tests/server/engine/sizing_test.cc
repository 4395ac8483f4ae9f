// The table of deploy/README.md that says which context fits which GPU.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gtest/gtest.h"

#include "server/engine/memory.h"

namespace kvrecall {
namespace {

constexpr char kPath[] = "deploy/README.md";
constexpr char kBegin[] = "<!-- sizing: begin -->\n";
constexpr char kEnd[] = "<!-- sizing: end -->\n";

// A model as its config.json has it; `parameters` in all, from its page.
struct Shape {
  const char* name;
  double parameters;
  int64_t layers, hidden, query_heads, kv_heads, head_dim, intermediate;
  int64_t vocabulary, window;
};

constexpr Shape kShapes[] = {
    {"Qwen2.5-0.5B", 0.494e9, 24, 896, 14, 2, 64, 4864, 151936, 32768},
    {"Qwen2.5-1.5B", 1.544e9, 28, 1536, 12, 2, 128, 8960, 151936, 32768},
    {"Qwen2.5-3B", 3.086e9, 36, 2048, 16, 2, 128, 11008, 151936, 32768},
    {"Qwen2.5-7B", 7.616e9, 28, 3584, 28, 4, 128, 18944, 152064, 32768},
    {"Qwen3-8B", 8.191e9, 36, 4096, 32, 8, 128, 12288, 151936, 40960},
    {"Llama-3.1-8B", 8.030e9, 32, 4096, 32, 8, 128, 14336, 128256, 131072},
    {"Qwen2.5-14B", 14.770e9, 48, 5120, 40, 8, 128, 13824, 152064, 32768},
    {"Qwen2.5-32B", 32.764e9, 64, 5120, 40, 8, 128, 27648, 152064, 32768}};

struct Gpu {
  const char* name;
  double gib;
};
constexpr Gpu kGpus[] = {
    {"16 GB", 15.5}, {"24 GB", 23.5}, {"48 GB", 47.4}, {"80 GB", 79.2}};
// Of the CUDA context and of libraries.
constexpr double kOverheadGib = 0.75;
constexpr double kGib = 1 << 30;

ModelInfo InfoOf(const Shape& shape) {
  ModelInfo info;
  info.layers = shape.layers;
  info.query_heads = shape.query_heads;
  info.kv_heads = shape.kv_heads;
  info.head_dim = shape.head_dim;
  info.hidden_size = shape.hidden;
  info.vocabulary = shape.vocabulary;
  info.context_window = shape.window;
  info.dtype = "bfloat16";
  info.device = "a GPU";
  info.prefill_chunk = 2048;
  info.kv_bytes_per_token =
      2 * 2 * shape.layers * shape.kv_heads * shape.head_dim;
  return info;
}

std::string Cell(const Shape& shape, double gib) {
  const double free = (gib - kOverheadGib) * kGib - 2 * shape.parameters;
  if (free <= 0) return "–";
  const int64_t positions =
      LargestContext(InfoOf(shape), shape.intermediate, shape.window,
                     static_cast<int64_t>(free));
  if (positions == shape.window) return "all";
  return positions < 1000 ? "–" : absl::StrFormat("%d K", positions / 1000);
}

std::string SizingTable() {
  std::string table =
      "| model, bfloat16 | window | weights | a text at the window |";
  std::string rule = "\n|---|---|---|---|";
  for (const Gpu& gpu : kGpus) {
    absl::StrAppend(&table, " ", gpu.name, " |");
    absl::StrAppend(&rule, "---|");
  }
  absl::StrAppend(&table, rule, "\n");
  for (const Shape& shape : kShapes) {
    const MemoryNeed need =
        NeedOf(InfoOf(shape), shape.intermediate, shape.window);
    absl::StrAppend(
        &table, "| ", shape.name, " | ", shape.window, " | ",
        absl::StrFormat("%.1f GiB | %.1f GiB |", 2 * shape.parameters / kGib,
                        static_cast<double>(need.total()) / kGib));
    for (const Gpu& gpu : kGpus)
      absl::StrAppend(&table, " ", Cell(shape, gpu.gib), " |");
    absl::StrAppend(&table, "\n");
  }
  return table;
}

TEST(SizingTest, ThePageSaysWhatTheServerWouldAllow) {
  std::ostringstream read;
  read << std::ifstream(kPath).rdbuf();
  std::string page = read.str();
  const size_t begin = page.find(kBegin), end = page.find(kEnd);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos);
  const size_t from = begin + std::string(kBegin).size();
  EXPECT_EQ(page.substr(from, end - from), SizingTable());
  if (std::getenv("KVRECALL_WRITE_PAGES") == nullptr) return;
  page.replace(from, end - from, SizingTable());
  std::ofstream(kPath) << page;
}

}  // namespace
}  // namespace kvrecall
