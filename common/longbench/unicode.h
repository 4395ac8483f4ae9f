#pragma once

// The Unicode operations that LongBench's metrics inherit from Python's str:
// lower(), split()'s white space and the regular expression class \w. Thread-
// safe: no shared state.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kvrecall {

// The offset of the first byte that is not part of well-formed UTF-8 (overlong
// forms and surrogates are malformed); nullopt if all of `text` is well-formed.
std::optional<size_t> FirstInvalidUtf8(std::string_view text);

// UTF-8 to code points; each malformed byte becomes U+FFFD.
std::u32string DecodeUtf8(std::string_view text);

// Code points to UTF-8. `text` holds no surrogates and nothing above U+10FFFF.
std::string EncodeUtf8(std::u32string_view text);

// Python's str.lower(): full case mapping, a capital sigma at the end of a word
// becomes the final form (Unicode 3.13, "Final_Sigma").
std::u32string ToLower(std::u32string_view text);

// \w of Python's re for str: letters, numbers of any kind and '_'. Combining
// marks are not word characters there.
bool IsPythonWordCharacter(char32_t c);

// \d of Python's re for str: decimal digits of any script.
bool IsDecimalDigit(char32_t c);

// Python's str.isspace(), by which split() without arguments separates.
bool IsSpace(char32_t c);

}  // namespace kvrecall
