#include "tests/reference/random_checkpoint.h"

#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kvrecall {
namespace {

using Config = nlohmann::json;
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

// Far from 1, so that a norm that is left out is seen.
bool IsHeadNorm(const std::string& name) {
  return name.ends_with("q_norm.weight") || name.ends_with("k_norm.weight");
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

std::vector<NamedShape> AttentionTensors(const Config& c,
                                         const std::string& prefix) {
  const std::string p = prefix + "self_attn.";
  const int64_t hidden = c["hidden_size"];
  const int64_t head = c["head_dim"];
  const int64_t q = c["num_attention_heads"].get<int64_t>() * head;
  const int64_t kv = c["num_key_value_heads"].get<int64_t>() * head;
  const bool o_bias = c.value("attention_bias", false);
  const bool qkv_bias = o_bias || c["architectures"][0] == "Qwen2ForCausalLM";
  std::vector<NamedShape> tensors;
  for (const auto& [name, rows] : {std::pair("q", q), {"k", kv}, {"v", kv}}) {
    tensors.push_back({p + name + "_proj.weight", {rows, hidden}});
    if (qkv_bias) tensors.push_back({p + name + "_proj.bias", {rows}});
  }
  if (c["architectures"][0] == "Qwen3ForCausalLM") {
    tensors.push_back({p + "q_norm.weight", {head}});
    tensors.push_back({p + "k_norm.weight", {head}});
  }
  tensors.push_back({p + "o_proj.weight", {hidden, q}});
  if (o_bias) tensors.push_back({p + "o_proj.bias", {hidden}});
  return tensors;
}

std::vector<NamedShape> Tensors(const Config& c) {
  const int64_t hidden = c["hidden_size"];
  const int64_t vocabulary = c["vocab_size"];
  const int64_t intermediate = c["intermediate_size"];
  std::vector<NamedShape> tensors = {
      {"model.embed_tokens.weight", {vocabulary, hidden}}};
  for (int64_t i = 0; i < c["num_hidden_layers"].get<int64_t>(); ++i) {
    const std::string p = absl::StrCat("model.layers.", i, ".");
    tensors.push_back({p + "input_layernorm.weight", {hidden}});
    for (NamedShape& tensor : AttentionTensors(c, p))
      tensors.push_back(std::move(tensor));
    tensors.push_back({p + "post_attention_layernorm.weight", {hidden}});
    tensors.push_back({p + "mlp.gate_proj.weight", {intermediate, hidden}});
    tensors.push_back({p + "mlp.up_proj.weight", {intermediate, hidden}});
    tensors.push_back({p + "mlp.down_proj.weight", {hidden, intermediate}});
  }
  tensors.push_back({"model.norm.weight", {hidden}});
  if (!c["tie_word_embeddings"].get<bool>())
    tensors.push_back({"lm_head.weight", {vocabulary, hidden}});
  return tensors;
}

std::vector<float> Values(const NamedShape& tensor) {
  std::vector<float> values(tensor.elements(), 1.0f);
  if (IsNorm(tensor.name)) return values;
  const bool head_norm = IsHeadNorm(tensor.name);
  const uint64_t base = Fnv1a64(tensor.name);
  const float scale = head_norm ? 1.0f : Scale(tensor);
  const float offset = head_norm ? 1.5f : 0.0f;
  for (size_t i = 0; i < values.size(); ++i) {
    const float unit =
        static_cast<float>(SplitMix64(base + i) >> 40) * 0x1p-23f - 1.0f;
    values[i] = offset + unit * scale;
  }
  return values;
}

// To nearest, ties to even; `value` is finite and no subnormal.
uint16_t ToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// The same; below 2⁻¹⁴ a step is 2⁻²⁴, above it 2⁻¹⁰ of the power of two
// below. `value` is less than 65504 in magnitude.
uint16_t ToFloat16(float value) {
  const float size = std::abs(value);
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (size < 0x1p-14f)
    return sign | static_cast<uint16_t>(std::nearbyint(size * 0x1p24f));
  const int exponent = std::ilogb(size);
  // 1024 … 2048; the latter carries into the exponent.
  const int mantissa =
      static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return sign | static_cast<uint16_t>(((exponent + 14) << 10) + mantissa);
}

std::string Bytes(const std::vector<float>& values,
                  const std::string& storage) {
  if (storage == "F32")
    return std::string(reinterpret_cast<const char*>(values.data()),
                       4 * values.size());
  std::vector<uint16_t> rounded;
  for (const float value : values)
    rounded.push_back(storage == "F16" ? ToFloat16(value) : ToBfloat16(value));
  return std::string(reinterpret_cast<const char*>(rounded.data()),
                     2 * rounded.size());
}

void WriteSafetensors(const std::filesystem::path& path,
                      const std::vector<NamedShape>& tensors,
                      const std::string& storage) {
  const int64_t size = storage == "F32" ? 4 : 2;
  Json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const NamedShape& tensor : tensors) {
    const int64_t end = offset + size * tensor.elements();
    header[tensor.name] = {{"dtype", storage},
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
  for (const NamedShape& tensor : tensors)
    out << Bytes(Values(tensor), storage);
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
  const Config config = {{"architectures", {"Qwen2ForCausalLM"}},
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
  WriteRandomCheckpoint(config, "F32", directory, shards);
  std::ofstream(std::filesystem::path(directory) / "generation_config.json")
      << Json({{"eos_token_id", shape.eos}}).dump();
}

void WriteRandomCheckpoint(const Config& config, const std::string& storage,
                           const std::string& directory, int shards) {
  namespace fs = std::filesystem;
  const fs::path root(directory);
  fs::create_directories(root);
  std::ofstream(root / "config.json") << config.dump(2);
  const std::vector<NamedShape> tensors = Tensors(config);
  if (shards == 1) {
    WriteSafetensors(root / "model.safetensors", tensors, storage);
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
    WriteSafetensors(root / name, part, storage);
  }
  std::ofstream(root / "model.safetensors.index.json") << index.dump();
}

}  // namespace kvrecall
