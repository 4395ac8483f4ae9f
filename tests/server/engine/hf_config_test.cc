#include "server/engine/hf_config.h"

#include "nlohmann/json.hpp"
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

nlohmann::json Config() {
  return {{"architectures", {"Qwen2ForCausalLM"}},
          {"model_type", "qwen2"},
          {"hidden_size", 896},
          {"intermediate_size", 4864},
          {"num_hidden_layers", 24},
          {"num_attention_heads", 14},
          {"num_key_value_heads", 2},
          {"vocab_size", 151936},
          {"max_position_embeddings", 32768},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1000000.0},
          {"tie_word_embeddings", true},
          {"hidden_act", "silu"},
          {"eos_token_id", 151645},
          {"use_sliding_window", false}};
}

absl::StatusOr<HfConfig> Parse(const nlohmann::json& config,
                               const std::string& generation = "") {
  return ParseHfConfig(config.dump(), generation);
}

TEST(HfConfigTest, ReadsQwen2) {
  auto config = Parse(Config());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->kv_heads, 2);
  EXPECT_TRUE(config->tied_head);
  EXPECT_EQ(config->eos_token_ids, std::vector<int64_t>{151645});
}

TEST(HfConfigTest, GenerationConfigNamesAllEosIds) {
  auto config = Parse(Config(), R"({"eos_token_id": [151645, 151643]})");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->eos_token_ids, (std::vector<int64_t>{151645, 151643}));
}

TEST(HfConfigTest, HeadDimMayBeGiven) {
  auto json = Config();
  json["head_dim"] = 128;
  EXPECT_EQ(Parse(json)->head_dim, 128);
}

TEST(HfConfigTest, ReadsRopeParametersOfNewerTransformers) {
  auto json = Config();
  json.erase("rope_theta");
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5e5}};
  EXPECT_EQ(Parse(json)->rope_theta, 5e5);
}

TEST(HfConfigTest, RefusesByNameWhatWouldChangeTheNumbers) {
  const std::vector<std::pair<std::string, nlohmann::json>> cases = {
      {"architectures", {"MixtralForCausalLM"}},
      {"hidden_act", "gelu"},
      {"use_sliding_window", true},
      {"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}},
      {"layer_types", {"sliding_attention"}},
      {"quantization_config", {{"bits", 4}}},
      {"partial_rotary_factor", 0.5},
      {"num_attention_heads", 15},
      {"num_attention_heads", -1},
      {"vocab_size", "many"},
      {"head_dim", 63},
      {"rms_norm_eps", 0},
      {"rope_theta", -1},
      {"eos_token_id", 999999},
      {"tie_word_embeddings", 3},
  };
  for (const auto& [name, value] : cases) {
    auto json = Config();
    json[name] = value;
    const auto config = Parse(json);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument)
        << name;
  }
  auto missing = Config();
  missing.erase("hidden_size");
  EXPECT_NE(Parse(missing).status().message().find("hidden_size"),
            std::string::npos);
  EXPECT_FALSE(ParseHfConfig("{", "").ok());
  EXPECT_FALSE(ParseHfConfig(Config().dump(), "[]").ok());
}

TEST(HfConfigTest, SettingsThatAreOffDoNotMatter) {
  auto json = Config();
  json["rope_scaling"] = nullptr;
  json["some_new_feature"] = false;
  EXPECT_TRUE(Parse(json).ok());
}

}  // namespace
}  // namespace kvrecall
