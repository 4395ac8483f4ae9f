#pragma once

// What kvrecall-load says at the end: one JSON object on stdout, which the
// scripts read. Pure.

#include <cstdint>
#include <vector>

#include "nlohmann/json.hpp"

namespace kvrecall {

using Json = nlohmann::ordered_json;

// Nanoseconds of the clock that the kernel's processes share.
int64_t MonotonicNanos();

// {"count", "p50", "p99", "max"} of nanoseconds, in milliseconds; null where
// there are none.
Json Milliseconds(std::vector<int64_t> nanos);

}  // namespace kvrecall
