#include "server/engine/tokenizer/added_tokens.h"

#include <algorithm>

#include "server/engine/tokenizer/utf8.h"

namespace kvrecall {
namespace {

bool StandsAlone(std::string_view text, size_t begin, size_t end) {
  const bool left =
      begin == 0 || !IsWordCharacter(LastCharacter(text.substr(0, begin)));
  const bool right = end == text.size() ||
                     !IsWordCharacter(NextUtf8(text.substr(end)).character);
  return left && right;
}

// Where the white space that ends at `end` begins, but not before `from`.
size_t SkipSpaceBack(std::string_view text, size_t from, size_t end) {
  while (end > from) {
    const char32_t last = LastCharacter(text.substr(0, end));
    if (!IsWhiteSpace(last)) break;
    do {
      --end;
    } while (end > from && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80);
  }
  return end;
}

size_t SkipSpace(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const Utf8Step step = NextUtf8(text.substr(begin));
    if (!IsWhiteSpace(step.character)) break;
    begin += step.length;
  }
  return begin;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    int32_t node = 0;
    for (const char byte : tokens_[i].content) {
      int32_t next = Child(node, byte);
      if (next < 0) {
        next = static_cast<int32_t>(nodes_.size());
        nodes_[node].children.emplace_back(static_cast<uint8_t>(byte), next);
        nodes_.emplace_back();
      }
      node = next;
    }
    nodes_[node].token = static_cast<int32_t>(i);
  }
}

int32_t AddedTokenMatcher::Child(int32_t node, char byte) const {
  for (const auto& [label, child] : nodes_[node].children)
    if (label == static_cast<uint8_t>(byte)) return child;
  return -1;
}

int32_t AddedTokenMatcher::LongestAt(std::string_view text) const {
  int32_t longest = -1;
  int32_t node = 0;
  for (const char byte : text) {
    node = Child(node, byte);
    if (node < 0) break;
    if (nodes_[node].token >= 0) longest = nodes_[node].token;
  }
  return longest;
}

std::vector<AddedTokenMatcher::Piece> AddedTokenMatcher::Split(
    std::string_view text) const {
  std::vector<Piece> pieces;
  size_t done = 0;  // `text` is in pieces up to here
  for (size_t at = 0; at < text.size();) {
    const int32_t index = LongestAt(text.substr(at));
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[index];
    size_t begin = at;
    size_t end = at + token.content.size();
    at = end;
    if (token.single_word && !StandsAlone(text, begin, end)) continue;
    // The token before may have taken the white space already.
    if (token.lstrip)
      begin = std::max(done, SkipSpaceBack(text, std::min(done, begin), begin));
    if (token.rstrip) end = SkipSpace(text, end);
    if (done < begin)
      pieces.push_back({text.substr(done, begin - done), std::nullopt});
    // An lstrip token inside the white space that the one before took.
    end = std::max(begin, end);
    pieces.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({text.substr(done), std::nullopt});
  return pieces;
}

}  // namespace kvrecall
