#pragma once

// The C++ twin of tests/golden/random_checkpoint.py: writes the same
// checkpoint, byte for byte, so that golden files need no weights beside them.

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace kvrecall {

// Of a Qwen2 checkpoint.
struct CheckpointShape {
  int64_t hidden = 64;
  int64_t intermediate = 160;
  int64_t layers = 4;
  int64_t query_heads = 8;
  int64_t kv_heads = 2;
  int64_t head_dim = 16;
  int64_t vocabulary = 151936;
  int64_t context_window = 4096;
  double rope_theta = 1e6;
  bool tied_head = false;
  std::vector<int64_t> eos = {151645, 151643};
};

// A shape that loads in milliseconds.
CheckpointShape TinyShape();

// Writes config.json, generation_config.json and model.safetensors (float32)
// into `directory`, which is created. With shards > 1 the tensors are spread
// over that many files with an index.
void WriteRandomCheckpoint(const CheckpointShape& shape,
                           const std::string& directory, int shards = 1);

// The same for a config.json of any architecture that the engine computes,
// with every size and head_dim in it, and no generation_config.json. `storage`
// is "F32", "BF16" or "F16".
void WriteRandomCheckpoint(const nlohmann::json& config,
                           const std::string& storage,
                           const std::string& directory, int shards = 1);

}  // namespace kvrecall
