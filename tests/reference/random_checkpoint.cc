#include "tests/reference/random_checkpoint.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
  int64_t elements() const {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1},
                           std::multiplies<>());
  }
};

uint64_t Fnv1a64(const std::string& text) {
  uint64_t value = 0xcbf29ce484222325ULL;
  for (unsigned char byte : text) value = (value ^ byte) * 0x100000001b3ULL;
  return value;
}

uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

bool Contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

bool IsNorm(const std::string& name) {
  return Contains(name, "layernorm") || name == "model.norm.weight";
}

float Scale(const NamedShape& tensor) {
  if (tensor.name.ends_with("bias")) return 0.25f;
  if (Contains(tensor.name, "embed_tokens")) return 1.0f;
  double gain = 1;
  if (Contains(tensor.name, "q_proj") || Contains(tensor.name, "k_proj"))
    gain = 2;
  if (tensor.name == "lm_head.weight") gain = 2;
  return static_cast<float>(
      gain * std::sqrt(3.0 / static_cast<double>(tensor.shape.back())));
}

std::vector<NamedShape> Tensors(const CheckpointShape& c) {
  const int64_t q = c.query_heads * c.head_dim;
  const int64_t kv = c.kv_heads * c.head_dim;
  std::vector<NamedShape> tensors = {
      {"model.embed_tokens.weight", {c.vocabulary, c.hidden}}};
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string p = absl::StrCat("model.layers.", i, ".");
    tensors.push_back({p + "input_layernorm.weight", {c.hidden}});
    tensors.push_back({p + "self_attn.q_proj.weight", {q, c.hidden}});
    tensors.push_back({p + "self_attn.q_proj.bias", {q}});
    tensors.push_back({p + "self_attn.k_proj.weight", {kv, c.hidden}});
    tensors.push_back({p + "self_attn.k_proj.bias", {kv}});
    tensors.push_back({p + "self_attn.v_proj.weight", {kv, c.hidden}});
    tensors.push_back({p + "self_attn.v_proj.bias", {kv}});
    tensors.push_back({p + "self_attn.o_proj.weight", {c.hidden, q}});
    tensors.push_back({p + "post_attention_layernorm.weight", {c.hidden}});
    tensors.push_back({p + "mlp.gate_proj.weight", {c.intermediate, c.hidden}});
    tensors.push_back({p + "mlp.up_proj.weight", {c.intermediate, c.hidden}});
    tensors.push_back({p + "mlp.down_proj.weight", {c.hidden, c.intermediate}});
  }
  tensors.push_back({"model.norm.weight", {c.hidden}});
  if (!c.tied_head)
    tensors.push_back({"lm_head.weight", {c.vocabulary, c.hidden}});
  return tensors;
}

std::vector<float> Values(const NamedShape& tensor) {
  std::vector<float> values(tensor.elements(), 1.0f);
  if (IsNorm(tensor.name)) return values;
  const uint64_t base = Fnv1a64(tensor.name);
  const float scale = Scale(tensor);
  for (size_t i = 0; i < values.size(); ++i) {
    const float unit =
        static_cast<float>(SplitMix64(base + i) >> 40) * 0x1p-23f - 1.0f;
    values[i] = unit * scale;
  }
  return values;
}

void WriteSafetensors(const std::filesystem::path& path,
                      const std::vector<NamedShape>& tensors) {
  Json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const NamedShape& tensor : tensors) {
    const int64_t end = offset + 4 * tensor.elements();
    header[tensor.name] = {{"dtype", "F32"},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::ofstream out(path, std::ios::binary);
  const uint64_t length = text.size();
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out << text;
  for (const NamedShape& tensor : tensors) {
    const std::vector<float> values = Values(tensor);
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(4 * values.size()));
  }
}

}  // namespace

CheckpointShape TinyShape() {
  CheckpointShape shape;
  shape.hidden = 32;
  shape.intermediate = 48;
  shape.layers = 2;
  shape.query_heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 8;
  shape.vocabulary = 300;
  shape.context_window = 512;
  shape.rope_theta = 10000;
  shape.tied_head = true;
  shape.eos = {1, 2};
  return shape;
}

void WriteRandomCheckpoint(const CheckpointShape& shape,
                           const std::string& directory, int shards) {
  namespace fs = std::filesystem;
  const fs::path root(directory);
  fs::create_directories(root);
  Json config = {{"architectures", {"Qwen2ForCausalLM"}},
                 {"model_type", "qwen2"},
                 {"hidden_act", "silu"},
                 {"rms_norm_eps", 1e-6},
                 {"use_sliding_window", false},
                 {"torch_dtype", "float32"},
                 {"eos_token_id", shape.eos[0]},
                 {"hidden_size", shape.hidden},
                 {"intermediate_size", shape.intermediate},
                 {"num_hidden_layers", shape.layers},
                 {"num_attention_heads", shape.query_heads},
                 {"num_key_value_heads", shape.kv_heads},
                 {"head_dim", shape.head_dim},
                 {"vocab_size", shape.vocabulary},
                 {"rope_theta", shape.rope_theta},
                 {"max_position_embeddings", shape.context_window},
                 {"tie_word_embeddings", shape.tied_head}};
  std::ofstream(root / "config.json") << config.dump(2);
  std::ofstream(root / "generation_config.json")
      << Json({{"eos_token_id", shape.eos}}).dump();
  const std::vector<NamedShape> tensors = Tensors(shape);
  if (shards == 1) {
    WriteSafetensors(root / "model.safetensors", tensors);
    return;
  }
  Json index;
  for (int s = 0; s < shards; ++s) {
    std::vector<NamedShape> part;
    const std::string name =
        absl::StrCat("model-", s + 1, "-of-", shards, ".safetensors");
    for (size_t i = s; i < tensors.size(); i += shards) {
      part.push_back(tensors[i]);
      index["weight_map"][tensors[i].name] = name;
    }
    WriteSafetensors(root / name, part);
  }
  std::ofstream(root / "model.safetensors.index.json") << index.dump();
}

}  // namespace kvrecall
