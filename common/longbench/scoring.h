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

// F1 of the normal forms' tokens as multisets; 0 where none is shared, so also
// where both are empty.
double QaF1(std::string_view prediction, std::string_view truth);

// Why samples are not scored by this metric; empty: they are.
std::string_view UnscoredReason(Metric metric);

// The task's metric for the extracted answer, the best over all `answers`;
// nullopt if there are none to compare with, or the metric has an
// UnscoredReason. `classes`: the sample's all_classes, for kClassification.
std::optional<double> ScoreSample(const Task& task, std::string_view prediction,
                                  std::span<const std::string> answers,
                                  std::span<const std::string> classes);

}  // namespace kvrecall
