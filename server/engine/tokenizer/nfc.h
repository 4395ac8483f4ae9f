#pragma once

// Unicode normalisation form C, as the `tokenizers` library computes it. Pure
// function; thread-safe.
//
// The library's tables are of Unicode 9, utf8proc's are newer: to it,
// characters that came later neither compose nor reorder. They are copied here
// as they are, so that the ids agree whatever utf8proc's version.

#include <string>
#include <string_view>

namespace kvrecall {

// `text` is valid UTF-8. Time is linear but for sorting runs of marks.
std::string NormalizeNfc(std::string_view text);

}  // namespace kvrecall
