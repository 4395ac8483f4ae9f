#include "server/engine/tokenizer/nfc.h"

#include <algorithm>
#include <vector>

#include <utf8proc.h>

#include "server/engine/tokenizer/utf8.h"

namespace kvrecall {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Characters of Unicode 10 to 16 that have a combining class other than 0, or
// take part in a composition. tests/golden/unicode_tables.py prints those of
// the utf8proc at hand; blocks that Unicode 16 added stand whole.
constexpr Range kNewerThanLibrary[] = {
    {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},
    {0x9FE, 0x9FE},     {0xC3C, 0xC3C},     {0xD3B, 0xD3C},
    {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1AFF},
    {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x105C0, 0x105FF},
    {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC},
    {0x10EFA, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x11380, 0x113FF},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930},
    {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
    {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16100, 0x1613F},
    {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF},
};

bool IsNewerThanLibrary(char32_t c) {
  const auto* it = std::partition_point(
      std::begin(kNewerThanLibrary), std::end(kNewerThanLibrary),
      [c](const Range& range) { return range.last < c; });
  return it != std::end(kNewerThanLibrary) && c >= it->first;
}

int CombiningClass(utf8proc_int32_t c) {
  return utf8proc_get_property(c)->combining_class;
}

// Canonical ordering. utf8proc would do it with a bubble sort, which a long
// run of marks makes quadratic.
void SortMarks(std::vector<utf8proc_int32_t>& text) {
  for (auto it = text.begin(); it != text.end();) {
    it = std::find_if(it, text.end(), CombiningClass);
    const auto end = std::find_if_not(it, text.end(), CombiningClass);
    std::stable_sort(it, end, [](auto a, auto b) {
      return CombiningClass(a) < CombiningClass(b);
    });
    it = end;
  }
}

void Decompose(char32_t c, std::vector<utf8proc_int32_t>& out) {
  utf8proc_int32_t parts[8];
  int boundary = 0;
  const utf8proc_ssize_t n = utf8proc_decompose_char(
      static_cast<utf8proc_int32_t>(c), parts, std::size(parts),
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE),
      &boundary);
  if (n <= 0 || n > static_cast<utf8proc_ssize_t>(std::size(parts)))
    out.push_back(static_cast<utf8proc_int32_t>(c));
  else
    out.insert(out.end(), parts, parts + n);
}

// Orders, composes and appends what was decomposed; leaves it empty.
void Flush(std::vector<utf8proc_int32_t>& decomposed, std::string& out) {
  SortMarks(decomposed);
  const utf8proc_ssize_t n = utf8proc_normalize_utf32(
      decomposed.data(), static_cast<utf8proc_ssize_t>(decomposed.size()),
      static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  for (utf8proc_ssize_t i = 0; i < n; ++i)
    AppendUtf8(static_cast<char32_t>(decomposed[i]), out);
  decomposed.clear();
}

}  // namespace

std::string NormalizeNfc(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(),
                                 [](char c) { return (c & 0x80) == 0; });
  if (ascii) return std::string(text);
  std::string out;
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> decomposed;
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    if (IsNewerThanLibrary(step.character)) {
      Flush(decomposed, out);
      out.append(text.substr(0, step.length));
    } else {
      Decompose(step.character, decomposed);
    }
    text.remove_prefix(step.length);
  }
  Flush(decomposed, out);
  return out;
}

}  // namespace kvrecall
