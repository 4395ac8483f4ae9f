#pragma once

// LongBench's files as one JSON object, for scripts. Thread-safe.

#include <vector>

#include "nlohmann/json.hpp"

#include "client/data/inventory.h"

namespace kvrecall {

// {"datasets":[{"dataset","tasks":[…],"file","samples","bytes","problem"}],
// "missing":[…]}. The last lists the data sets without a file; their file,
// samples and bytes are null, as are samples and bytes of a file that cannot be
// read. "problem" says why, else it is null.
nlohmann::ordered_json InventoryToJson(const std::vector<DatasetFile>& files);

}  // namespace kvrecall
