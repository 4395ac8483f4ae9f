#pragma once

// How a run is named. Pure.

#include <cstdint>
#include <span>
#include <string>

namespace kvrecall {

inline constexpr int kRunIdDigits = 16;

// 26 characters that sort by time: ten of it, in milliseconds since 1970, then
// `digits`, each from 0 to 31, which tell runs of one moment apart.
std::string RunIdText(int64_t milliseconds,
                      std::span<const uint8_t, kRunIdDigits> digits);

}  // namespace kvrecall
