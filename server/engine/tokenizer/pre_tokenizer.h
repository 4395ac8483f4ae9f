#pragma once

// The pre-tokenizer: cuts normalised text into the words that BPE sees.
// Immutable after construction; thread-safe.

#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "server/engine/tokenizer/split_regex.h"

namespace kvrecall {

// The pattern of ByteLevel with use_regex, from GPT-2's encoder.py.
inline constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// One step; every step works on each piece of the step before it.
struct PreTokenizerStep {
  std::optional<SplitRegex> regex;  // none: the piece stays whole
  bool add_prefix_space = false;    // before the regex, unless one is there
};

class PreTokenizer {
 public:
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps)
      : steps_(std::move(steps)) {}

  // Calls `word` with every word in order. `text` is valid UTF-8.
  void ForEachWord(std::string_view text,
                   const std::function<void(std::string_view)>& word) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace kvrecall
