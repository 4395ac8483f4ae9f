#pragma once

// What kvrecall-bench found, as a table and as JSON.

#include <cstdint>
#include <vector>

#include "nlohmann/json.hpp"

#include "tests/bench/roofline.h"

namespace kvrecall::bench {

// All figures for one length of prompt.
struct Result {
  int64_t prompt = 0;
  std::vector<double> prefill_plain, prefill_telemetry;  // s, each repeat
  std::vector<double> step_plain, step_telemetry;  // s, median of each repeat
  std::vector<double> bandwidth;                   // bytes/s
  std::vector<ProductRate> products;
  double step_bytes = 0;      // weights and KV that a step reads
  int64_t loaded_memory = 0;  // once all weights were resident
  int64_t base_memory = 0, peak_memory = 0, kv_bytes = 0;
};

nlohmann::json ToJson(const Result& r);

// To standard output.
void Print(const Result& r);

}  // namespace kvrecall::bench
