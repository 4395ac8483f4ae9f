#pragma once

// The words that LongBench's metrics compare. As Python does it on Unicode
// text; malformed UTF-8 is read as U+FFFD. Thread-safe: no shared state.

#include <string>
#include <string_view>
#include <vector>

namespace kvrecall {

// Python's str.split() without arguments.
std::vector<std::u32string> SplitAtSpace(std::u32string_view text);

// The words of SQuAD's normal form: lower case, ASCII punctuation deleted, the
// words "a", "an" and "the" replaced by a space.
std::vector<std::u32string> NormalWords(std::string_view text);

// The same, joined by single spaces.
std::string NormalizeAnswer(std::string_view text);

}  // namespace kvrecall
