#pragma once

// A comparison of runs as JSON, for programs. What is not defined is null.
// Later versions only add fields.

#include <vector>

#include "nlohmann/json.hpp"

#include "common/analysis/run_comparison.h"
#include "common/record/run_info.h"

namespace kvrecall {

nlohmann::ordered_json ComparisonToJson(const std::vector<RunInfo>& runs,
                                        const RunComparison& comparison);

}  // namespace kvrecall
