#pragma once

// Runs side by side as text for people. Thread-safe: no shared state.

#include <string>
#include <vector>

#include "common/analysis/run_comparison.h"
#include "common/record/run_info.h"

namespace kvrecall {

// The runs, then a table of each figure: its value in the first run, and how
// far each other run's lies from it. Ends with a line feed.
std::string RenderComparison(const std::vector<RunInfo>& runs,
                             const RunComparison& comparison);

}  // namespace kvrecall
