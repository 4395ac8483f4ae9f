#include "tests/bench/shapes.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace kvrecall::bench {
namespace {

struct Entry {
  const char* name;
  int64_t layers, hidden, query_heads, kv_heads, intermediate, vocabulary;
  bool tied;
};

// From the models' config.json files on the Hugging Face Hub.
constexpr Entry kShapes[] = {
    {"qwen2.5-0.5b", 24, 896, 14, 2, 4864, 151936, true},
    {"qwen2.5-1.5b", 28, 1536, 12, 2, 8960, 151936, true},
    {"qwen2.5-3b", 36, 2048, 16, 2, 11008, 151936, true},
    {"qwen2.5-7b", 28, 3584, 28, 4, 18944, 152064, false},
};

}  // namespace

std::vector<std::string> ShapeNames() {
  std::vector<std::string> names;
  for (const Entry& entry : kShapes) names.emplace_back(entry.name);
  return names;
}

absl::StatusOr<HfConfig> ShapeByName(const std::string& name) {
  for (const Entry& entry : kShapes) {
    if (name != entry.name) continue;
    HfConfig config;
    config.architecture = "Qwen2ForCausalLM";
    config.layers = entry.layers;
    config.hidden_size = entry.hidden;
    config.query_heads = entry.query_heads;
    config.kv_heads = entry.kv_heads;
    config.head_dim = entry.hidden / entry.query_heads;
    config.intermediate_size = entry.intermediate;
    config.vocabulary = entry.vocabulary;
    config.context_window = 32768 + 4096;
    config.rms_norm_eps = 1e-6;
    config.rope.theta = 1e6;
    config.qkv_bias = true;
    config.tied_head = entry.tied;
    return config;
  }
  return absl::NotFoundError(absl::StrCat("no shape '", name, "'; there are ",
                                          absl::StrJoin(ShapeNames(), ", ")));
}

}  // namespace kvrecall::bench
