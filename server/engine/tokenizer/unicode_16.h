#pragma once

// What Unicode 15 and 16 added to the general categories. Oniguruma, which
// runs the split patterns inside the `tokenizers` library, knows Unicode 16;
// PCRE2 10.42 (Debian 12) knows Unicode 14 only. Constant data.

#include <span>
#include <string_view>

namespace kvrecall {

struct CategoryRange {
  char32_t first;
  char32_t last;  // inclusive
  // A category of two letters; punctuation and symbols only "P" and "S".
  std::string_view category;
};

// In ascending order.
std::span<const CategoryRange> AddedAfterUnicode14();

}  // namespace kvrecall
