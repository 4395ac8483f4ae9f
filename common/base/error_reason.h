#pragma once

// What a status carries for programs beside its code and its words: a reason by
// name, when to try again, and a few facts. Travels as google.rpc.Status (see
// proto/convert/error_convert.h). Pure; thread-safe.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kvrecall {

// One row of the table in server/ARCHITECTURE.md.
struct ErrorReason {
  std::string_view name;  // UPPER_SNAKE, unique
  absl::StatusCode code;
  std::string_view when;
  std::string_view advice;  // what a client does
};

// All that this program gives, by code.
std::span<const ErrorReason> AllErrorReasons();

// The same status with the reason of that name: one of the table's and of the
// status's code, or what a newer server said. OK stays OK.
absl::Status WithReason(absl::Status status, std::string_view reason);

// With a fact: "field", "last_sequence", "limit", …
absl::Status WithFact(absl::Status status, std::string_view name,
                      std::string_view value);

// With the time after which trying again makes sense.
absl::Status WithRetryAfter(absl::Status status, absl::Duration wait);

// The reason that was given, else the first of the status's code; "UNKNOWN" for
// a code that has none. Empty for OK.
std::string ReasonOf(const absl::Status& status);
std::map<std::string, std::string> FactsOf(const absl::Status& status);
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

}  // namespace kvrecall
