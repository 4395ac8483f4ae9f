#pragma once

// JSON of others before it is read. Pure; thread-safe.

#include <string_view>

#include "absl/status/status.h"

namespace kvrecall {

// Deeper than any file that means something. The JSON library copies, compares
// and writes a value by recursion: what nests without end ends the stack.
inline constexpr int kDeepestJson = 100;

// InvalidArgument: lists and objects in it nest deeper. Says nothing else of
// the text, which need not be JSON.
absl::Status CheckNesting(std::string_view json);

}  // namespace kvrecall
