#pragma once

// An analysis as text for people: the verdict first, then what it rests on, at
// most 100 columns. Thread-safe: no shared state.

#include <string>

#include "common/analysis/run_analysis.h"
#include "common/record/run_info.h"

namespace kvrecall {

// Ends with a line feed. Without `all` it is about the verdict's policy, and of
// the others their correlations in the verdict's scope.
std::string RenderAnalysis(const RunInfo& run, const RunAnalysis& analysis,
                           bool all);

}  // namespace kvrecall
