#pragma once

// Text that a user names. Thread-safe if the stream is.

#include <istream>
#include <string>

#include "absl/status/statusor.h"

namespace kvrecall {

// The whole of a file, or of `standard_input` for "-". NotFound,
// PermissionDenied or InvalidArgument (a directory, not UTF-8, or nothing in
// it) say which file.
absl::StatusOr<std::string> ReadTextFrom(const std::string& path,
                                         std::istream& standard_input);

}  // namespace kvrecall
