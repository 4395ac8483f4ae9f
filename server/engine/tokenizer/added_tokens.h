#pragma once

// Tokens that are cut out of the text before BPE sees it, such as <|im_end|>.
// Immutable after construction; thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvrecall {

// One entry of added_tokens in a tokenizer.json.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // not beside a word character
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;       // and on its right
  bool normalized = false;   // looked for in the normalised text
  bool special = false;
};

// Finds a set of added tokens. Of those that begin at one place the longest
// wins; the leftmost goes first.
class AddedTokenMatcher {
 public:
  struct Piece {
    std::string_view text;
    std::optional<int32_t> id;  // nothing: plain text
  };

  // Contents are distinct and not empty.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // Cuts `text`, which is valid UTF-8, into plain stretches and tokens.
  std::vector<Piece> Split(std::string_view text) const;

 private:
  // A trie of the contents' bytes; node 0 is the root.
  struct Node {
    std::vector<std::pair<uint8_t, int32_t>> children;
    int32_t token = -1;  // index of the token that ends here
  };

  int32_t Child(int32_t node, char byte) const;
  // The index of the longest token at the start of `text`, or -1.
  int32_t LongestAt(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
};

}  // namespace kvrecall
