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

namespace kvrecall {

struct HfConfig {
  std::string architecture;  // "Qwen2ForCausalLM"
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t layers = 0;
  int64_t query_heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocabulary = 0;
  int64_t context_window = 0;  // max_position_embeddings
  double rms_norm_eps = 0;
  double rope_theta = 0;
  bool tied_head = false;  // the output head is the embedding
  std::string dtype;       // what the weights are stored in
  std::vector<int64_t> eos_token_ids;
};

// `config` and `generation` are the files' texts; an empty `generation` means
// that the file is absent. InvalidArgument names the setting.
absl::StatusOr<HfConfig> ParseHfConfig(std::string_view config,
                                       std::string_view generation);

// Reads both files from a model directory. NotFound: no config.json there.
absl::StatusOr<HfConfig> ReadHfConfig(const std::string& directory);

}  // namespace kvrecall
