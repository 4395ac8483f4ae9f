#pragma once

// The whole of a file that a user named. Thread-safe: no shared state.

#include <string>

#include "absl/status/statusor.h"

namespace kvrecall {

// NotFound, PermissionDenied, InvalidArgument (a directory) or Unavailable
// (anything else), in one line that begins with the path.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

}  // namespace kvrecall
