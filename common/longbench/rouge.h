#pragma once

// ROUGE-L as the PyPI package `rouge` 1.0.1 computes it, which LongBench scores
// summaries with. It is not the score of the ROUGE paper: words count once,
// however often they stand in a text. Thread-safe: no shared state.

#include <string_view>

namespace kvrecall {

// F of the words in the longest common subsequences of every sentence of one
// text with every sentence of the other, sentences being what full stops
// separate; 0 where a text has no sentence. In [0, 1].
double RougeL(std::string_view prediction, std::string_view truth);

}  // namespace kvrecall
