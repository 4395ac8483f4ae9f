#pragma once

// Golden files: gzip-compressed JSON under tests/golden, each made by a script
// beside it.

#include <string>

#include "nlohmann/json.hpp"

namespace kvrecall {

// Reads `path` (from the repository's root). Throws std::runtime_error where
// the file is missing or broken: a test then fails with that text.
nlohmann::json ReadGolden(const std::string& path);

}  // namespace kvrecall
