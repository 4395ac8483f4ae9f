#pragma once

// How alike two strings are, as LongBench compares lines of code: fuzzywuzzy's
// fuzz.ratio over Python's difflib, which is what LongBench's requirements
// install. (With python-Levenshtein beside it fuzzywuzzy computes another
// number.) Thread-safe: no shared state.

#include <string_view>

namespace kvrecall {

// Twice the characters in matching blocks over the characters of both, rounded
// to whole percent, half to even; 0 where one is empty, unless both are equal.
// In [0, 1]. Blocks are found longest first, the earliest of the longest; in a
// `truth` of 200 characters or more, characters that make up over 1 % of it
// start none.
double CodeSimilarity(std::string_view prediction, std::string_view truth);

}  // namespace kvrecall
