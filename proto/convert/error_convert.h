#pragma once

// A status on the wire: google.rpc.Status with ErrorInfo, and where they apply
// RetryInfo and BadRequest. Pure; thread-safe.

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvrecall {

inline constexpr char kErrorDomain[] = "kvrecall";

// The bytes of the message, for a status that is not OK; its reason and facts
// are those of common/base/error_reason.h.
std::string ErrorDetails(const absl::Status& status);

// `status` with reason, facts and time to wait from such bytes; as it is where
// they are none of ours.
absl::Status WithErrorDetails(absl::Status status, std::string_view details);

}  // namespace kvrecall
