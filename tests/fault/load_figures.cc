#include "tests/fault/load_figures.h"

#include <algorithm>
#include <chrono>

namespace kvrecall {

int64_t MonotonicNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Json Milliseconds(std::vector<int64_t> nanos) {
  if (nanos.empty()) return nullptr;
  std::sort(nanos.begin(), nanos.end());
  const auto at = [&](double share) {
    const auto last = static_cast<double>(nanos.size() - 1);
    return static_cast<double>(nanos[static_cast<size_t>(share * last)]) * 1e-6;
  };
  return {{"count", nanos.size()},
          {"p50", at(0.5)},
          {"p99", at(0.99)},
          {"max", at(1)}};
}

}  // namespace kvrecall
