#pragma once

// The rotary position embeddings that a checkpoint's config.json asks for.
// Plain values; rope.h computes them.

#include <cstdint>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace kvrecall {

struct RopeConfig {
  enum class Type { kDefault, kLinear, kLlama3, kYarn };
  Type type = Type::kDefault;
  double theta = 10000;
  // By how much the context is stretched; all types but kDefault.
  double factor = 1;
  // The positions before stretching; kLlama3 and kYarn.
  double original_positions = 0;
  // kLlama3: frequencies with fewer turns over the original positions than
  // `low_frequency_factor` are divided by `factor`, those with more than
  // `high_frequency_factor` are kept, those between are blended.
  double low_frequency_factor = 0;
  double high_frequency_factor = 0;
  // kYarn: the same, with these two numbers of turns, blended by the index of
  // the frequency; `truncate` rounds the blend's bounds to whole indices.
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;
  // kYarn: what cosine and sine are multiplied by.
  double attention_factor = 1;
};

// From the whole config.json, with the settings in `rope_scaling` and at the
// top level, or, as transformers 5 writes them, in `rope_parameters`; absent
// ones as in transformers. `max_positions` is max_position_embeddings.
// InvalidArgument names a setting that would not be computed as transformers
// does.
absl::StatusOr<RopeConfig> ParseRopeConfig(const nlohmann::json& config,
                                           int64_t max_positions);

}  // namespace kvrecall
