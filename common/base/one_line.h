#pragma once

// Foreign text in a message: a name that somebody sent, a piece of a file.
// Pure; thread-safe.

#include <cstddef>
#include <string>
#include <string_view>

namespace kvrecall {

inline constexpr size_t kLongestQuote = 200;

// The text with control characters and bytes that are not UTF-8 written as
// "\n", "\t", "\r" or "\x1B", so that it stays in its line and no terminal
// obeys it. Of more than `most` bytes the begin, cut between characters, and
// "…".
std::string OneLine(std::string_view text, size_t most = kLongestQuote);

}  // namespace kvrecall
