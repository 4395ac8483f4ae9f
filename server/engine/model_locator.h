#pragma once

// Where a model's files are. Thread-safe.

#include <string>

#include "absl/status/statusor.h"

namespace kvrecall {

// `nano` is the model that ships with the program: looked for beside the
// executable's build or installation. Anything else is the path of a Hugging
// Face model directory. NotFound says where was looked.
absl::StatusOr<std::string> LocateModel(const std::string& name);

}  // namespace kvrecall
