#pragma once

// Configurations of well-known models, for measurements without their weights.

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/engine/hf_config.h"

namespace kvrecall::bench {

std::vector<std::string> ShapeNames();

// NotFound names the shapes that there are.
absl::StatusOr<HfConfig> ShapeByName(const std::string& name);

}  // namespace kvrecall::bench
