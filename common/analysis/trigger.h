#pragma once

// Cheap signals that might announce that a policy has lost what a step needs.
// Thread-safe: no shared state.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/analysis/run_table.h"

namespace kvrecall {

// The higher a signal, the more of an alarm.
enum class Signal {
  kEntropy,
  kOneLessPMax,  // 1 − p_max
  kLessMargin,   // −margin
  kAttentionEntropy,
  kDrift,  // has no value at t = 1
};
inline constexpr int kSignals = 5;

// "entropy", "1 - p_max", "-margin", "attention entropy", "drift".
const char* SignalName(Signal signal);

// The steps that a signal has a value for, grouped by sample.
struct TriggerSteps {
  std::vector<int64_t> first;  // [samples + 1]: where each begins, and the end
  std::vector<double> signal;
  std::vector<uint8_t> event;  // 1: the lane's recall is below tau
};

TriggerSteps StepsOf(const RunTable& table, size_t lane, Signal signal,
                     double tau);

}  // namespace kvrecall
