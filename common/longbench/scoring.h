#pragma once

// Scores as LongBench v1 computes them (THUDM/LongBench, metrics.py and
// eval.py), each in [0, 1]; LongBench reports the mean times 100. Thread-safe:
// no shared state.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/longbench/task.h"

namespace kvrecall {

// The part of the generated text that is scored, by the task's answer rule,
// without white space at its ends where a marker is looked for. Empty if the
// marker is missing. A view into `prediction`.
std::string_view ExtractAnswer(const Task& task, std::string_view prediction);

// SQuAD's normal form: lower case, ASCII punctuation deleted, the words "a",
// "an" and "the" replaced by a space, white space runs made one space. Exactly
// as Python does it on Unicode text; malformed UTF-8 is read as U+FFFD.
std::string NormalizeAnswer(std::string_view text);

// F1 of the normal forms' tokens as multisets; 0 where none is shared, so also
// where both are empty.
double QaF1(std::string_view prediction, std::string_view truth);

// The task's metric for the extracted answer, the best over all `answers`;
// nullopt if there are none to compare with.
std::optional<double> ScoreSample(const Task& task, std::string_view prediction,
                                  std::span<const std::string> answers);

}  // namespace kvrecall
