#pragma once

// The configuration of a Hugging Face checkpoint: config.json and
// generation_config.json. Only what changes the numbers is kept, and whatever
// would change them in a way that the engine does not know is refused by name.
// Plain values.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "server/engine/rope_config.h"

namespace kvrecall {

struct HfConfig {
  // Qwen2ForCausalLM, Qwen3ForCausalLM, LlamaForCausalLM, MistralForCausalLM
  std::string architecture;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t layers = 0;
  int64_t query_heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocabulary = 0;
  int64_t context_window = 0;  // max_position_embeddings
  // Positions that a query sees, its own included; 0: all. The engine computes
  // full attention only, so a text must not be longer.
  int64_t attention_window = 0;
  double rms_norm_eps = 0;
  RopeConfig rope;
  bool qkv_bias = false;   // on the query, key and value projections
  bool o_bias = false;     // on the attention's output projection
  bool qk_norm = false;    // RMSNorm of each query and key head, before RoPE
  bool tied_head = false;  // the output head is the embedding
  std::vector<int64_t> eos_token_ids;
};

// `config` and `generation` are the files' texts; an empty `generation` means
// that the file is absent. InvalidArgument names the setting.
absl::StatusOr<HfConfig> ParseHfConfig(std::string_view config,
                                       std::string_view generation);

// Reads both files from a model directory. NotFound: no config.json there.
absl::StatusOr<HfConfig> ReadHfConfig(const std::string& directory);

}  // namespace kvrecall
