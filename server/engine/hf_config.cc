#include "server/engine/hf_config.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/json_nesting.h"
#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "server/engine/config_json.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// What an architecture's class in transformers fixes, and what its settings
// are where config.json does not say.
struct Architecture {
  std::string name;
  std::string model_type;
  int64_t kv_heads = 0;  // 0: as many as query heads
  int64_t head_dim = 0;  // 0: hidden size / query heads
  bool qkv_bias = false;
  bool reads_attention_bias = false;
  bool qk_norm = false;
  int64_t attention_window = 0;  // where it reads sliding_window alone; else 0
  std::vector<int64_t> eos = {};
};

const std::vector<Architecture>& Architectures() {
  static const std::vector<Architecture> kAll = {{.name = "Qwen2ForCausalLM",
                                                  .model_type = "qwen2",
                                                  .kv_heads = 32,
                                                  .qkv_bias = true},
                                                 {.name = "Qwen3ForCausalLM",
                                                  .model_type = "qwen3",
                                                  .kv_heads = 32,
                                                  .head_dim = 128,
                                                  .reads_attention_bias = true,
                                                  .qk_norm = true},
                                                 {.name = "LlamaForCausalLM",
                                                  .model_type = "llama",
                                                  .reads_attention_bias = true,
                                                  .eos = {2}},
                                                 {.name = "MistralForCausalLM",
                                                  .model_type = "mistral",
                                                  .kv_heads = 8,
                                                  .attention_window = 4096,
                                                  .eos = {2}}};
  return kAll;
}

// Settings that the engine reads below, or that do not change inference.
const std::set<std::string>& KnownSettings() {
  static const std::set<std::string> kKnown = {
      // read
      "architectures", "model_type", "hidden_size", "intermediate_size",
      "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
      "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps",
      "rope_theta", "rope_scaling", "rope_parameters",
      "original_max_position_embeddings", "tie_word_embeddings", "hidden_act",
      "eos_token_id", "use_sliding_window", "layer_types", "attention_bias",
      "mlp_bias", "pretraining_tp", "use_mrope",
      // of no effect on full attention at inference; the weights' dtype is in
      // their own file
      "torch_dtype", "dtype", "sliding_window", "max_window_layers",
      "attention_dropout", "initializer_range", "use_cache", "bos_token_id",
      "pad_token_id", "transformers_version", "_name_or_path",
      "output_attentions", "output_hidden_states", "return_dict", "is_decoder",
      "id2label", "label2id", "problem_type", "tokenizer_class",
      "chunk_size_feed_forward", "is_llama_config", "transformers.js_config"};
  return kKnown;
}

class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  absl::Status Positive(const char* name, int64_t& value) const {
    const auto it = json_.find(name);
    if (it == json_.end())
      return absl::InvalidArgumentError(
          absl::StrCat("config.json: '", name, "' is missing"));
    if (!it->is_number_integer() || it->get<int64_t>() <= 0 ||
        it->get<int64_t>() > (int64_t{1} << 31))
      return absl::InvalidArgumentError(
          absl::StrCat("config.json: '", name, "' is ", OneLine(it->dump()),
                       "; it must be a positive whole number"));
    value = it->get<int64_t>();
    return absl::OkStatus();
  }

  absl::Status PositiveOr(const char* name, int64_t fallback,
                          int64_t& value) const {
    if (!json_.contains(name) || json_[name].is_null()) {
      value = fallback;
      return absl::OkStatus();
    }
    return Positive(name, value);
  }

 private:
  const Json& json_;
};

absl::StatusOr<Architecture> FindArchitecture(const Json& json) {
  const Json names = json.value("architectures", Json::array());
  Json computed = Json::array();
  for (const Architecture& architecture : Architectures()) {
    if (names == Json::array({architecture.name})) return architecture;
    computed.push_back(architecture.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("config.json: architectures is ", OneLine(names.dump()),
                   "; this engine computes one of ", computed.dump()));
}

absl::Status ReadWindow(const Json& json, const Architecture& architecture,
                        const Reader& reader, HfConfig& config) {
  // Qwen2 and Qwen3 look at use_sliding_window first, Llama at neither.
  if (architecture.attention_window == 0) return absl::OkStatus();
  config.attention_window = architecture.attention_window;
  if (!json.contains("sliding_window")) return absl::OkStatus();
  return reader.PositiveOr("sliding_window", 0, config.attention_window);
}

absl::Status ReadShape(const Json& json, const Architecture& architecture,
                       HfConfig& config) {
  const Reader reader(json);
  RETURN_IF_ERROR(reader.Positive("hidden_size", config.hidden_size));
  RETURN_IF_ERROR(
      reader.Positive("intermediate_size", config.intermediate_size));
  RETURN_IF_ERROR(reader.Positive("num_hidden_layers", config.layers));
  RETURN_IF_ERROR(reader.Positive("num_attention_heads", config.query_heads));
  // Null means one KV head for each query head, whatever the default is.
  const bool default_kv =
      architecture.kv_heads > 0 && !json.contains("num_key_value_heads");
  RETURN_IF_ERROR(
      reader.PositiveOr("num_key_value_heads",
                        default_kv ? architecture.kv_heads : config.query_heads,
                        config.kv_heads));
  RETURN_IF_ERROR(reader.PositiveOr(
      "head_dim",
      architecture.head_dim > 0 ? architecture.head_dim
                                : config.hidden_size / config.query_heads,
      config.head_dim));
  RETURN_IF_ERROR(reader.Positive("vocab_size", config.vocabulary));
  RETURN_IF_ERROR(
      reader.Positive("max_position_embeddings", config.context_window));
  return ReadWindow(json, architecture, reader, config);
}

// Bias and normalisation in attention.
absl::Status ReadAttention(const Json& json, const Architecture& architecture,
                           HfConfig& config) {
  bool attention_bias = false;
  RETURN_IF_ERROR(ReadBool(json, "attention_bias", false, attention_bias));
  if (attention_bias && !architecture.reads_attention_bias)
    return RefuseSetting(
        "attention_bias", true,
        absl::StrCat(architecture.name, " has no such setting; leave it out"));
  config.qkv_bias = architecture.qkv_bias || attention_bias;
  config.o_bias = attention_bias;
  config.qk_norm = architecture.qk_norm;
  return absl::OkStatus();
}

absl::Status CheckSettings(const Json& json, const Architecture& architecture) {
  if (json.value("model_type", Json(architecture.model_type)) !=
      architecture.model_type)
    return RefuseSetting(
        "model_type", json["model_type"],
        absl::StrCat("for ", architecture.name, " it must be '",
                     architecture.model_type, "'"));
  if (json.contains("use_sliding_window") && !IsOff(json["use_sliding_window"]))
    return RefuseSetting("use_sliding_window", json["use_sliding_window"],
                         "only full attention is");
  if (json.contains("layer_types"))
    for (const Json& type : json["layer_types"])
      if (type != "full_attention")
        return RefuseSetting("layer_types", type, "only full_attention is");
  if (json.contains("use_mrope") && !IsOff(json["use_mrope"]))
    return RefuseSetting("use_mrope", json["use_mrope"], "only plain RoPE is");
  if (json.value("hidden_act", Json("silu")) != "silu")
    return RefuseSetting("hidden_act", json["hidden_act"], "only 'silu' is");
  if (json.contains("mlp_bias") && !IsOff(json["mlp_bias"]))
    return RefuseSetting("mlp_bias", json["mlp_bias"], "only false is");
  // Slices of a product that were summed apart: another rounding.
  const Json slices = json.value("pretraining_tp", Json(1));
  if (slices != 1 && !slices.is_null())
    return RefuseSetting("pretraining_tp", slices, "only 1 is");
  for (const auto& [name, value] : json.items())
    if (!KnownSettings().contains(name) && !IsOff(value))
      return RefuseSetting(
          name, value, "remove it if it does not change the model's results");
  return absl::OkStatus();
}

absl::Status ReadEos(const Json& json, const char* file,
                     std::vector<int64_t>& ids) {
  if (!json.contains("eos_token_id") || json["eos_token_id"].is_null())
    return absl::OkStatus();
  ids.clear();
  const Json& eos = json["eos_token_id"];
  for (const Json& id : eos.is_array() ? eos : Json::array({eos})) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0)
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": 'eos_token_id' is ", OneLine(eos.dump()),
                       "; it must be a token id or a list of them"));
    ids.push_back(id.get<int64_t>());
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const HfConfig& config) {
  if (config.query_heads % config.kv_heads != 0)
    return absl::InvalidArgumentError(absl::StrCat(
        "config.json: num_attention_heads (", config.query_heads,
        ") is no multiple of num_key_value_heads (", config.kv_heads, ")"));
  if (config.head_dim == 0)
    return absl::InvalidArgumentError(absl::StrCat(
        "config.json: hidden_size (", config.hidden_size,
        ") is less than num_attention_heads (", config.query_heads, ")"));
  if (config.head_dim % 2 != 0)
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: the head size ", config.head_dim,
                     " is odd; rotary embeddings need an even one"));
  for (int64_t id : config.eos_token_ids)
    if (id >= config.vocabulary)
      return absl::InvalidArgumentError(
          absl::StrCat("eos_token_id ", id, " is outside the vocabulary of ",
                       config.vocabulary));
  return absl::OkStatus();
}

absl::Status CheckFile(const char* name, std::string_view text) {
  const absl::Status nesting = CheckNesting(text);
  return nesting.ok() ? nesting
                      : absl::InvalidArgumentError(
                            absl::StrCat(name, ": ", nesting.message()));
}

absl::StatusOr<std::string> ReadText(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return absl::NotFoundError(absl::StrCat("cannot read ", path.string()));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

absl::StatusOr<HfConfig> ParseHfConfig(std::string_view config_text,
                                       std::string_view generation_text) {
  RETURN_IF_ERROR(CheckFile("config.json", config_text));
  const Json json = Json::parse(config_text, nullptr, false);
  if (!json.is_object())
    return absl::InvalidArgumentError("config.json is not a JSON object");
  ASSIGN_OR_RETURN(const Architecture architecture, FindArchitecture(json));
  HfConfig config;
  config.architecture = architecture.name;
  if (!json.contains("eos_token_id")) config.eos_token_ids = architecture.eos;
  RETURN_IF_ERROR(ReadShape(json, architecture, config));
  RETURN_IF_ERROR(
      ReadPositive(json, "rms_norm_eps", "", 1e-6, config.rms_norm_eps));
  RETURN_IF_ERROR(
      ReadBool(json, "tie_word_embeddings", false, config.tied_head));
  RETURN_IF_ERROR(ReadAttention(json, architecture, config));
  ASSIGN_OR_RETURN(config.rope, ParseRopeConfig(json, config.context_window));
  RETURN_IF_ERROR(CheckSettings(json, architecture));
  RETURN_IF_ERROR(ReadEos(json, "config.json", config.eos_token_ids));
  if (!generation_text.empty()) {
    RETURN_IF_ERROR(CheckFile("generation_config.json", generation_text));
    const Json generation = Json::parse(generation_text, nullptr, false);
    if (!generation.is_object())
      return absl::InvalidArgumentError(
          "generation_config.json is not a JSON object");
    RETURN_IF_ERROR(
        ReadEos(generation, "generation_config.json", config.eos_token_ids));
  }
  RETURN_IF_ERROR(CheckShape(config));
  return config;
}

absl::StatusOr<HfConfig> ReadHfConfig(const std::string& directory) {
  const fs::path root(directory);
  if (!fs::is_directory(root))
    return absl::NotFoundError(
        absl::StrCat("model directory ", directory, " does not exist"));
  ASSIGN_OR_RETURN(const std::string config, ReadText(root / "config.json"));
  std::string generation;
  if (fs::exists(root / "generation_config.json")) {
    ASSIGN_OR_RETURN(generation, ReadText(root / "generation_config.json"));
  }
  return ParseHfConfig(config, generation);
}

}  // namespace kvrecall
