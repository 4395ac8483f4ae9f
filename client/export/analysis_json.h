#pragma once

// An analysis as JSON, for programs. Field names are those of
// common/METRICS.md, "Analysis"; what is not defined is null. Later versions
// only add fields.

#include "nlohmann/json.hpp"

#include "common/analysis/run_analysis.h"
#include "common/record/run_info.h"

namespace kvrecall {

nlohmann::ordered_json AnalysisToJson(const RunInfo& run,
                                      const RunAnalysis& analysis);

}  // namespace kvrecall
