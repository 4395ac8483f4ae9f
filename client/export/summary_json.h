#pragma once

// A run's result table as one JSON object, for scripts. Thread-safe.

#include <cstdint>

#include "nlohmann/json.hpp"

#include "client/summary.h"
#include "common/record/run_info.h"

namespace kvrecall {

// {"run_id","state","config","provenance","samples":{…},"rows":[a row per
// policy, scope and budget],"gaps":[one per gap lane],"bins":[…],
// "problems":[…]}. What is not defined is null. An open bin's upper edge is
// null.
nlohmann::ordered_json SummaryToJson(const RunInfo& run,
                                     const RunSummary& summary);

}  // namespace kvrecall
