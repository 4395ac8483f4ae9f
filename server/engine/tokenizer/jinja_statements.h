#pragma once

// Reads a Jinja chat template into a list of statements in a canonical
// spelling, so that templates that differ only in layout compare equal. It
// evaluates nothing. Pure function; thread-safe.
//
// White space follows what `transformers` sets: trim_blocks, lstrip_blocks, no
// trailing newline.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

struct JinjaStatement {
  enum class Kind {
    kText,    // literal output; string literals of {{ }} are text, too
    kOutput,  // {{ expression }}, one operand of a chain of + or ~
    kBlock,   // {% statement %}
  };
  Kind kind = Kind::kText;
  // kText: what is put out. Else: the tokens, separated with single spaces,
  // strings in double quotes, `a.b` written `a [ "b" ]`.
  std::string value;
};

// Text that follows text is joined. InvalidArgument: a tag or a string is not
// closed, or a character is not known.
absl::StatusOr<std::vector<JinjaStatement>> ReadJinja(std::string_view source);

}  // namespace kvrecall
