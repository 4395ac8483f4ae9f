#pragma once

// Where one eviction decision is taken.

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

enum class Scope {
  kGlobal,  // one row: the mean over all layers and query heads
  kLayer,   // a row per layer: the mean over its query heads
  kHead,    // a row per layer and KV group: the mean over its query heads
};

// "global", "layer" or "head".
std::string_view ScopeName(Scope scope);

// InvalidArgument names the text and the scopes there are.
absl::StatusOr<Scope> ParseScope(std::string_view text);

// A comma-separated list: not empty, no scope twice.
absl::StatusOr<std::vector<Scope>> ParseScopes(std::string_view text);

}  // namespace kvrecall
