#include "server/engine/hf_config.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Settings that the engine reads below, or that do not change inference.
const std::set<std::string>& KnownSettings() {
  static const std::set<std::string> kKnown = {
      // read
      "architectures", "model_type", "hidden_size", "intermediate_size",
      "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
      "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps",
      "rope_theta", "rope_scaling", "rope_parameters", "tie_word_embeddings",
      "hidden_act", "torch_dtype", "dtype", "eos_token_id",
      "use_sliding_window", "layer_types",
      // of no effect on full attention at inference
      "sliding_window", "max_window_layers", "attention_dropout",
      "initializer_range", "use_cache", "bos_token_id", "pad_token_id",
      "transformers_version", "_name_or_path", "output_attentions",
      "output_hidden_states", "return_dict", "is_decoder", "id2label",
      "label2id", "problem_type", "tokenizer_class", "chunk_size_feed_forward",
      "use_mrope"};
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
          absl::StrCat("config.json: '", name, "' is ", it->dump(),
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

absl::Status Refuse(const std::string& name, const Json& value,
                    const std::string& right) {
  return absl::InvalidArgumentError(
      absl::StrCat("config.json: '", name, "' is ", value.dump(),
                   ", which this engine does not compute; ", right));
}

// Null, false, 0, "" and empty containers switch nothing on.
bool IsOff(const Json& value) {
  return value.is_null() || value == false || value == 0 ||
         (value.is_string() && value.get<std::string>().empty()) ||
         ((value.is_array() || value.is_object()) && value.empty());
}

// RoPE's settings stand at the top level, or, from transformers 5 on, in
// rope_parameters.
absl::Status ReadRope(const Json& json, HfConfig& config) {
  std::optional<Json> theta;
  if (json.contains("rope_theta")) theta = json["rope_theta"];
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    if (!json.contains(name) || json[name].is_null()) continue;
    const Json& rope = json[name];
    if (!rope.is_object()) return Refuse(name, rope, "it must be an object");
    for (const auto& [key, value] : rope.items()) {
      if (key == "rope_theta") {
        theta = value;
      } else if (key == "rope_type" || key == "type") {
        if (value != "default")
          return Refuse(absl::StrCat(name, ".", key), value,
                        "only 'default' is");
      } else if (!IsOff(value)) {
        return Refuse(absl::StrCat(name, ".", key), value, "leave it out");
      }
    }
  }
  // The architecture's default, as in transformers' Qwen2Config.
  if (!theta) theta = 10000.0;
  if (!theta->is_number() || !(theta->get<double>() > 0))
    return Refuse("rope_theta", *theta, "it must be a positive number");
  config.rope_theta = theta->get<double>();
  return absl::OkStatus();
}

absl::Status CheckAttention(const Json& json) {
  if (json.contains("use_sliding_window") && !IsOff(json["use_sliding_window"]))
    return Refuse("use_sliding_window", json["use_sliding_window"],
                  "only full attention is");
  if (json.contains("layer_types"))
    for (const Json& type : json["layer_types"])
      if (type != "full_attention")
        return Refuse("layer_types", type, "only full_attention is");
  if (json.contains("use_mrope") && !IsOff(json["use_mrope"]))
    return Refuse("use_mrope", json["use_mrope"], "only plain RoPE is");
  if (json.value("hidden_act", Json("silu")) != "silu")
    return Refuse("hidden_act", json["hidden_act"], "only 'silu' is");
  for (const auto& [name, value] : json.items())
    if (!KnownSettings().contains(name) && !IsOff(value))
      return Refuse(name, value,
                    "remove it if it does not change the model's results");
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
          absl::StrCat(file, ": 'eos_token_id' is ", eos.dump(),
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

absl::StatusOr<std::string> ReadText(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return absl::NotFoundError(absl::StrCat("cannot read ", path.string()));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

absl::StatusOr<HfConfig> ParseHfConfig(std::string_view config_text,
                                       std::string_view generation_text) {
  const Json json = Json::parse(config_text, nullptr, false);
  if (!json.is_object())
    return absl::InvalidArgumentError("config.json is not a JSON object");
  const Json architectures = json.value("architectures", Json::array());
  if (architectures != Json::array({"Qwen2ForCausalLM"}))
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: architectures is ", architectures.dump(),
                     "; this engine computes [\"Qwen2ForCausalLM\"]"));
  HfConfig config;
  config.architecture = architectures[0].get<std::string>();
  const Reader reader(json);
  RETURN_IF_ERROR(reader.Positive("hidden_size", config.hidden_size));
  RETURN_IF_ERROR(
      reader.Positive("intermediate_size", config.intermediate_size));
  RETURN_IF_ERROR(reader.Positive("num_hidden_layers", config.layers));
  RETURN_IF_ERROR(reader.Positive("num_attention_heads", config.query_heads));
  RETURN_IF_ERROR(reader.PositiveOr("num_key_value_heads", config.query_heads,
                                    config.kv_heads));
  RETURN_IF_ERROR(reader.PositiveOr(
      "head_dim", config.hidden_size / config.query_heads, config.head_dim));
  RETURN_IF_ERROR(reader.Positive("vocab_size", config.vocabulary));
  RETURN_IF_ERROR(
      reader.Positive("max_position_embeddings", config.context_window));
  const Json eps = json.value("rms_norm_eps", Json(1e-6));
  if (!eps.is_number() || !(eps.get<double>() > 0))
    return Refuse("rms_norm_eps", eps, "it must be a positive number");
  config.rms_norm_eps = eps.get<double>();
  const Json tied = json.value("tie_word_embeddings", Json(false));
  if (!tied.is_boolean())
    return Refuse("tie_word_embeddings", tied, "it must be true or false");
  config.tied_head = tied.get<bool>();
  const Json dtype = json.value("dtype", json.value("torch_dtype", Json("")));
  if (dtype.is_string()) config.dtype = dtype.get<std::string>();
  RETURN_IF_ERROR(ReadRope(json, config));
  RETURN_IF_ERROR(CheckAttention(json));
  RETURN_IF_ERROR(ReadEos(json, "config.json", config.eos_token_ids));
  if (!generation_text.empty()) {
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
