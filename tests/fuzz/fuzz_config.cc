// config.json of a checkpoint and, behind 0xFF, generation_config.json.

#include <cmath>

#include "server/engine/hf_config.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

void CheckSizes(const HfConfig& config) {
  for (const int64_t size :
       {config.hidden_size, config.intermediate_size, config.layers,
        config.query_heads, config.kv_heads, config.head_dim, config.vocabulary,
        config.context_window})
    Require(size >= 1, "sizes are positive");
  Require(config.query_heads % config.kv_heads == 0,
          "each KV head serves as many query heads");
  Require(config.head_dim % 2 == 0, "half of a head turns with the other");
  Require(config.attention_window >= 0, "a window is one, or none");
  for (const int64_t id : config.eos_token_ids)
    Require(id >= 0 && id < config.vocabulary, "an EOS is a token");
}

void CheckRope(const RopeConfig& rope) {
  for (const double value : {rope.theta, rope.factor, rope.beta_fast,
                             rope.beta_slow, rope.attention_factor})
    Require(std::isfinite(value) && value > 0, "factors are positive");
  const bool stretched = rope.type == RopeConfig::Type::kLlama3 ||
                         rope.type == RopeConfig::Type::kYarn;
  Require(!stretched || rope.original_positions > 0,
          "what is stretched has a length");
}

}  // namespace

void FuzzConfig(std::string_view input) {
  InputBytes bytes(input);
  const std::string_view config_text = bytes.Part();
  const auto config = ParseHfConfig(config_text, bytes.Rest());
  RequireReadable(config.status());
  if (!config.ok()) return;
  Require(std::isfinite(config->rms_norm_eps) && config->rms_norm_eps > 0,
          "epsilon is positive");
  CheckSizes(*config);
  CheckRope(config->rope);
}

}  // namespace kvrecall
