#include "server/engine/tokenizer/pre_tokenizer.h"

#include <deque>
#include <string>

namespace kvrecall {

void PreTokenizer::ForEachWord(
    std::string_view text,
    const std::function<void(std::string_view)>& word) const {
  std::deque<std::string> prefixed;  // owns the pieces that got a space
  std::vector<std::string_view> pieces = {text};
  std::vector<std::string_view> next;
  for (const PreTokenizerStep& step : steps_) {
    next.clear();
    for (std::string_view piece : pieces) {
      if (step.add_prefix_space && piece.substr(0, 1) != " ")
        piece = prefixed.emplace_back(" ").append(piece);
      if (step.regex.has_value())
        step.regex->Split(piece, next);
      else
        next.push_back(piece);
    }
    pieces.swap(next);
  }
  for (const std::string_view piece : pieces) word(piece);
}

}  // namespace kvrecall
