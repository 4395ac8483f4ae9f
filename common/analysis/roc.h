#pragma once

// How well a signal tells steps with an event from those without. Thread-safe:
// no shared state.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace kvrecall {

// The area under the ROC curve: the share of pairs of a step with the event and
// one without, in which the first has the higher signal, ties counted half.
// nullopt where there are no such pairs. The signal is finite.
std::optional<double> RocArea(std::span<const double> signal,
                              std::span<const uint8_t> event);

// A trigger that fires where signal ≥ threshold.
struct RocPoint {
  double threshold = 0;
  double true_positives = 0;   // share of the steps with the event
  double false_positives = 0;  // share of those without
};

// The curve from (0, 0), which has an infinite threshold, to (1, 1): a point
// for each value of the signal, or `most` (≥ 2) of them, evenly. Empty where
// one of the shares is not defined.
std::vector<RocPoint> RocCurve(std::span<const double> signal,
                               std::span<const uint8_t> event, int64_t most);

}  // namespace kvrecall
