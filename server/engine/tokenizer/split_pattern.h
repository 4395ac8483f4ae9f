#pragma once

// Rewrites a split pattern of tokenizer.json, written for Oniguruma, into the
// PCRE2 pattern (options UTF and UCP) that matches the same. Pure function;
// thread-safe.
//
// The two differ in what `\s`, `\v` and `\d` mean, in their Unicode version,
// and in the reading of `^`, `$`, `{n}+` and `[` inside a class. The first
// group is rewritten; of the second, and of all else that the known
// tokenizers do not use, the pattern is refused.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvrecall {

// Unimplemented: names the construct and where it stands.
absl::StatusOr<std::string> OnigurumaToPcre2(std::string_view pattern);

}  // namespace kvrecall
