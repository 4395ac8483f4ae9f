#include "common/base/one_line.h"

#include <cstdint>

#include "absl/strings/str_format.h"

namespace kvrecall {
namespace {

uint8_t At(std::string_view text, size_t i) {
  return static_cast<uint8_t>(text[i]);
}

// Bytes of the well-formed character that `text` begins with; 0: there is none
// (Unicode 15, table 3-7).
size_t CharacterBytes(std::string_view text) {
  const uint8_t lead = At(text, 0);
  if (lead < 0x80) return 1;
  const size_t length = lead < 0xC2   ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((At(text, i) & 0xC0) != 0x80) return 0;
  if ((lead == 0xE0 && At(text, 1) < 0xA0) ||
      (lead == 0xED && At(text, 1) > 0x9F) ||
      (lead == 0xF0 && At(text, 1) < 0x90) ||
      (lead == 0xF4 && At(text, 1) > 0x8F))
    return 0;
  return length;
}

// Those of ASCII, and those of U+0080 to U+009F.
bool IsControl(std::string_view character) {
  const uint8_t lead = At(character, 0);
  return lead < 0x20 || lead == 0x7F ||
         (lead == 0xC2 && At(character, 1) < 0xA0);
}

std::string Escaped(std::string_view bytes) {
  if (bytes == "\n") return "\\n";
  if (bytes == "\t") return "\\t";
  if (bytes == "\r") return "\\r";
  std::string text;
  for (const char byte : bytes)
    absl::StrAppendFormat(&text, "\\x%02X", static_cast<uint8_t>(byte));
  return text;
}

}  // namespace

std::string OneLine(std::string_view text, size_t most) {
  std::string line;
  while (!text.empty()) {
    const size_t length = CharacterBytes(text);
    const std::string_view taken = text.substr(0, length == 0 ? 1 : length);
    const std::string shown =
        length == 0 || IsControl(taken) ? Escaped(taken) : std::string(taken);
    if (line.size() + shown.size() > most) return line + "…";
    line += shown;
    text.remove_prefix(taken.size());
  }
  return line;
}

}  // namespace kvrecall
