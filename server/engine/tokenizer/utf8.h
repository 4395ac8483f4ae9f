#pragma once

// UTF-8 as Rust's `String::from_utf8_lossy` and Python's `errors="replace"`
// see it, and the two character classes that added tokens need. Pure
// functions; thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kvrecall {

// One step through a byte string.
struct Utf8Step {
  enum class Kind { kCharacter, kInvalid, kIncomplete };
  Kind kind = Kind::kCharacter;
  // Bytes of the character, or of the maximal ill-formed part that one U+FFFD
  // stands for (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal
  // Subparts"), or of the well-begun character that the end cuts off.
  size_t length = 0;
  char32_t character = 0xFFFD;
};

// Looks at the start of `text`, which is not empty.
Utf8Step NextUtf8(std::string_view text);

// The character that ends the valid UTF-8 `text`; U+FFFD if there is none.
char32_t LastCharacter(std::string_view text);

void AppendUtf8(char32_t character, std::string& out);

// True if the text is valid UTF-8.
bool IsValidUtf8(std::string_view text);

// Every maximal ill-formed part replaced with U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view bytes);

// How many bytes at the end begin a character that more bytes could complete:
// 0 to 3.
size_t IncompleteTail(std::string_view bytes);

// Unicode's White_Space, which is `\s` to Oniguruma and to Rust's regex.
bool IsWhiteSpace(char32_t character);

// `\w` of Rust's regex (UTS #18): Alphabetic, marks, decimal digits, connector
// punctuation, join controls.
bool IsWordCharacter(char32_t character);

}  // namespace kvrecall
