#include "common/longbench/normal_form.h"

#include <cstddef>

#include "common/longbench/unicode.h"

namespace kvrecall {
namespace {

// Python's string.punctuation.
bool IsAsciiPunctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') ||
         (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

bool IsArticle(std::u32string_view word) {
  return word == U"a" || word == U"an" || word == U"the";
}

// \b(a|an|the)\b -> " ". A match begins and ends at a word boundary and holds
// word characters only: it is a whole run of word characters.
std::u32string RemoveArticles(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && IsPythonWordCharacter(text[end])) ++end;
    if (end == i) {
      out.push_back(text[i++]);
      continue;
    }
    const std::u32string_view word = text.substr(i, end - i);
    if (IsArticle(word)) {
      out.push_back(U' ');
    } else {
      out.append(word);
    }
    i = end;
  }
  return out;
}

}  // namespace

std::vector<std::u32string> SplitAtSpace(std::u32string_view text) {
  std::vector<std::u32string> tokens;
  for (size_t i = 0; i < text.size();) {
    if (IsSpace(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && !IsSpace(text[end])) ++end;
    tokens.emplace_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

std::vector<std::u32string> NormalWords(std::string_view text) {
  std::u32string lower = ToLower(DecodeUtf8(text));
  std::erase_if(lower, IsAsciiPunctuation);
  return SplitAtSpace(RemoveArticles(lower));
}

std::string NormalizeAnswer(std::string_view text) {
  std::u32string joined;
  for (const std::u32string& token : NormalWords(text)) {
    if (!joined.empty()) joined.push_back(U' ');
    joined.append(token);
  }
  return EncodeUtf8(joined);
}

}  // namespace kvrecall
