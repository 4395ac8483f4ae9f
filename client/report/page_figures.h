#pragma once

// A run's figures as they stand in its page. Thread-safe: no shared state.

#include <string>

#include "absl/status/statusor.h"

#include "client/plot/figures.h"

namespace kvrecall {

// HTML with the images inside; of a figure that cannot be drawn, why. Each is
// drawn by a process of its own, at the same time. FailedPrecondition: there is
// no gnuplot. ResourceExhausted: no room for what it writes in passing.
absl::StatusOr<std::string> DrawPageFigures(const PlotData& data);

}  // namespace kvrecall
