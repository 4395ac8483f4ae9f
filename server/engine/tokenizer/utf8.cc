#include "server/engine/tokenizer/utf8.h"

#include <utf8proc.h>

namespace kvrecall {
namespace {

uint8_t Byte(std::string_view text, size_t i) {
  return static_cast<uint8_t>(text[i]);
}

// The well-formed byte sequences of Unicode's table 3-7: how long one that
// begins with `first` is (0: none does), and the bounds of its second byte.
struct Form {
  size_t length;
  uint8_t second_low;
  uint8_t second_high;
};

Form FormOf(uint8_t first) {
  if (first < 0x80) return {1, 0, 0};
  if (first < 0xC2) return {0, 0, 0};
  if (first < 0xE0) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first < 0xF0) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first < 0xF4) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Step NextUtf8(std::string_view text) {
  const uint8_t first = Byte(text, 0);
  const Form form = FormOf(first);
  if (form.length == 1) return {Utf8Step::Kind::kCharacter, 1, first};
  if (form.length == 0) return {Utf8Step::Kind::kInvalid, 1};
  char32_t character = first & (0xFFu >> (form.length + 1));
  for (size_t i = 1; i < form.length; ++i) {
    if (i == text.size()) return {Utf8Step::Kind::kIncomplete, i};
    const uint8_t low = i == 1 ? form.second_low : 0x80;
    const uint8_t high = i == 1 ? form.second_high : 0xBF;
    const uint8_t next = Byte(text, i);
    if (next < low || next > high) return {Utf8Step::Kind::kInvalid, i};
    character = (character << 6) | (next & 0x3Fu);
  }
  return {Utf8Step::Kind::kCharacter, form.length, character};
}

char32_t LastCharacter(std::string_view text) {
  size_t start = text.size();
  while (start > 0) {
    --start;
    if ((Byte(text, start) & 0xC0) != 0x80) break;
  }
  return text.empty() ? 0xFFFD : NextUtf8(text.substr(start)).character;
}

void AppendUtf8(char32_t character, std::string& out) {
  utf8proc_uint8_t bytes[4];
  const auto length =
      utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  out.append(reinterpret_cast<const char*>(bytes), length);
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    if (step.kind != Utf8Step::Kind::kCharacter) return false;
    text.remove_prefix(step.length);
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Step step = NextUtf8(bytes);
    if (step.kind == Utf8Step::Kind::kCharacter)
      out.append(bytes.substr(0, step.length));
    else
      out.append("\xEF\xBF\xBD");
    bytes.remove_prefix(step.length);
  }
  return out;
}

size_t IncompleteTail(std::string_view bytes) {
  // A tail starts at the last byte that is no continuation byte.
  for (size_t tail = 1; tail <= 3 && tail <= bytes.size(); ++tail) {
    const std::string_view end = bytes.substr(bytes.size() - tail);
    if ((Byte(end, 0) & 0xC0) == 0x80) continue;
    const Utf8Step step = NextUtf8(end);
    return step.kind == Utf8Step::Kind::kIncomplete ? step.length : 0;
  }
  return 0;
}

bool IsWhiteSpace(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsWordCharacter(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      // The symbols that are Alphabetic, and the join controls.
      return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
             (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189) ||
             c == 0x200C || c == 0x200D;
  }
}

}  // namespace kvrecall
