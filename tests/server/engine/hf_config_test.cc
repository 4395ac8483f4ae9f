#include "server/engine/hf_config.h"

#include <cmath>

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
  EXPECT_EQ(Parse(json)->rope.theta, 5e5);
}

TEST(HfConfigTest, RefusesByNameWhatWouldChangeTheNumbers) {
  const std::vector<std::pair<std::string, nlohmann::json>> cases = {
      {"architectures", {"MixtralForCausalLM"}},
      {"hidden_act", "gelu"},
      {"use_sliding_window", true},
      {"rope_scaling", {{"type", "dynamic"}, {"factor", 4.0}}},
      {"rope_scaling", {{"rope_type", "longrope"}}},
      {"attention_bias", true},
      {"mlp_bias", true},
      {"pretraining_tp", 2},
      {"model_type", "qwen3"},
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

TEST(HfConfigTest, AHeadHasASize) {
  auto json = Config();
  json["hidden_size"] = 1;
  json.erase("head_dim");
  const auto config = Parse(json);
  EXPECT_TRUE(absl::IsInvalidArgument(config.status()));
  EXPECT_NE(config.status().message().find("hidden_size"), std::string::npos)
      << config.status();
}

TEST(HfConfigTest, WhatNestsWithoutEndIsRefused) {
  constexpr size_t kDepth = 200'000;
  const std::string text =
      "{\"x\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}";
  EXPECT_TRUE(absl::IsInvalidArgument(ParseHfConfig(text, "").status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(ParseHfConfig(Config().dump(), text).status()));
}

nlohmann::json ConfigOf(const std::string& architecture,
                        const std::string& model_type) {
  auto json = Config();
  json["architectures"] = {architecture};
  json["model_type"] = model_type;
  for (const char* name : {"num_key_value_heads", "rms_norm_eps", "rope_theta",
                           "tie_word_embeddings", "eos_token_id"})
    json.erase(name);
  json["num_attention_heads"] = 64;
  return json;
}

// What transformers' configuration classes say where config.json does not.
TEST(HfConfigTest, DefaultsAreThoseOfTheArchitecture) {
  struct Want {
    std::string architecture, model_type;
    int64_t kv_heads, head_dim;
    bool qkv_bias, qk_norm;
    std::vector<int64_t> eos;
  };
  const std::vector<Want> wants = {
      {"Qwen2ForCausalLM", "qwen2", 32, 14, true, false, {}},
      {"Qwen3ForCausalLM", "qwen3", 32, 128, false, true, {}},
      {"LlamaForCausalLM", "llama", 64, 14, false, false, {2}},
      {"MistralForCausalLM", "mistral", 8, 14, false, false, {2}}};
  for (const Want& want : wants) {
    auto json = ConfigOf(want.architecture, want.model_type);
    const auto config = Parse(json);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->kv_heads, want.kv_heads) << want.architecture;
    EXPECT_EQ(config->head_dim, want.head_dim) << want.architecture;
    EXPECT_EQ(config->qkv_bias, want.qkv_bias) << want.architecture;
    EXPECT_EQ(config->qk_norm, want.qk_norm) << want.architecture;
    EXPECT_EQ(config->eos_token_ids, want.eos) << want.architecture;
    EXPECT_FALSE(config->o_bias);
    EXPECT_FALSE(config->tied_head);
    EXPECT_EQ(config->rms_norm_eps, 1e-6);
    EXPECT_EQ(config->rope.theta, 10000);
    json["num_key_value_heads"] = nullptr;
    json["eos_token_id"] = nullptr;
    EXPECT_EQ(Parse(json)->kv_heads, 64) << want.architecture;
    EXPECT_TRUE(Parse(json)->eos_token_ids.empty()) << want.architecture;
  }
}

TEST(HfConfigTest, AttentionBiasIsOnAllFourProjections) {
  for (const auto& [architecture, type] :
       {std::pair("Qwen3ForCausalLM", "qwen3"),
        {"LlamaForCausalLM", "llama"}}) {
    auto json = ConfigOf(architecture, type);
    json["attention_bias"] = true;
    const auto config = Parse(json);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(config->qkv_bias);
    EXPECT_TRUE(config->o_bias);
  }
}

// In transformers an absent window is 4096 positions, and null is none.
TEST(HfConfigTest, OnlyMistralReadsSlidingWindowByItself) {
  auto json = ConfigOf("MistralForCausalLM", "mistral");
  EXPECT_EQ(Parse(json)->attention_window, 4096);
  json["sliding_window"] = nullptr;
  EXPECT_EQ(Parse(json)->attention_window, 0);
  json["sliding_window"] = 1024;
  EXPECT_EQ(Parse(json)->attention_window, 1024);
  json["sliding_window"] = -1;
  EXPECT_FALSE(Parse(json).ok());
  auto qwen = Config();
  qwen["sliding_window"] = 1024;
  EXPECT_EQ(Parse(qwen)->attention_window, 0);
}

TEST(HfConfigTest, RopeScalingIsReadInBothSpellings) {
  auto old_style = Config();
  old_style["rope_scaling"] = {{"type", "linear"}, {"factor", 4}};
  auto new_style = Config();
  new_style.erase("rope_theta");
  new_style["rope_parameters"] = {
      {"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 1e6}};
  for (const auto& json : {old_style, new_style}) {
    const auto config = Parse(json);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->rope.type, RopeConfig::Type::kLinear);
    EXPECT_EQ(config->rope.factor, 4);
    EXPECT_EQ(config->rope.theta, 1e6);
  }
}

TEST(HfConfigTest, YarnKeepsTheContextWindowOfTheConfiguration) {
  auto json = Config();
  json["rope_scaling"] = {{"type", "yarn"},
                          {"factor", 4.0},
                          {"original_max_position_embeddings", 8192}};
  const auto config = Parse(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->context_window, 32768);
  EXPECT_EQ(config->rope.original_positions, 8192);
  EXPECT_NEAR(config->rope.attention_factor, 0.1 * std::log(4) + 1, 1e-15);
  // The top level has precedence, and the window is what is left.
  json["original_max_position_embeddings"] = 4096;
  EXPECT_EQ(Parse(json)->rope.original_positions, 4096);
  json.erase("original_max_position_embeddings");
  json["rope_scaling"].erase("original_max_position_embeddings");
  EXPECT_EQ(Parse(json)->rope.original_positions, 32768);
}

TEST(HfConfigTest, RefusesRopeSettingsByName) {
  const std::vector<std::pair<std::string, nlohmann::json>> cases = {
      {"rope_type", {{"type", "dynamic"}, {"factor", 4}}},
      {"rope_type", {{"rope_type", "longrope"}, {"factor", 4}}},
      {"factor", {{"type", "linear"}}},
      {"factor", {{"type", "linear"}, {"factor", "4"}}},
      {"factor", {{"type", "default"}, {"factor", 4}}},
      {"factor", {{"type", "yarn"}}},
      {"low_freq_factor", {{"type", "llama3"}, {"factor", 8}}},
      {"high_freq_factor",
       {{"type", "llama3"},
        {"factor", 8},
        {"low_freq_factor", 4},
        {"high_freq_factor", 4}}},
      {"beta_fast", {{"type", "yarn"}, {"factor", 4}, {"beta_fast", -1}}},
      {"truncate", {{"type", "yarn"}, {"factor", 4}, {"truncate", 1}}},
      {"mrope_section",
       {{"type", "yarn"}, {"factor", 4}, {"mrope_section", {1, 2}}}},
      {"partial_rotary_factor",
       {{"type", "default"}, {"partial_rotary_factor", 0.5}}},
      {"no positive number",
       {{"type", "yarn"},
        {"factor", 1e308},
        {"mscale", 1e308},
        {"mscale_all_dim", 1e308}}},
      {"no positive number",
       {{"type", "yarn"},
        {"factor", 1e308},
        {"mscale", 1e306},
        {"mscale_all_dim", 1e308}}},
      {"no positive number",
       {{"type", "yarn"},
        {"factor", nullptr},
        {"original_max_position_embeddings", 5e-324}}},
      {"rope_theta", {{"rope_theta", 0}}}};
  for (const auto& [name, scaling] : cases) {
    auto json = Config();
    json["rope_scaling"] = scaling;
    const auto config = Parse(json);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument)
        << name;
    EXPECT_NE(config.status().message().find(name), std::string::npos)
        << config.status();
  }
  auto both = Config();
  both["rope_scaling"] = {{"type", "linear"}, {"factor", 4}};
  both["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 8}};
  EXPECT_NE(Parse(both).status().message().find("rope_parameters"),
            std::string::npos);
}

TEST(HfConfigTest, SettingsThatAreOffDoNotMatter) {
  auto json = Config();
  json["rope_scaling"] = nullptr;
  json["some_new_feature"] = false;
  EXPECT_TRUE(Parse(json).ok());
}

}  // namespace
}  // namespace kvrecall
