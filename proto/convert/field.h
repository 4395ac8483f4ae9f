#pragma once

// Errors about a field of a message. Thread-safe: no shared state.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "common/base/error_reason.h"

namespace kvrecall {

// "config.task: <what>", as InvalidArgument with the field as a fact.
inline absl::Status FieldError(std::string_view field, std::string_view what) {
  return WithFact(WithReason(absl::InvalidArgumentError(absl::StrCat(
                                 std::string(field), ": ", std::string(what))),
                             "INVALID_FIELD"),
                  "field", field);
}

// "config" and "task" give "config.task"; an empty parent gives "task".
inline std::string FieldPath(std::string_view parent, std::string_view name) {
  if (parent.empty()) return std::string(name);
  return absl::StrCat(std::string(parent), ".", std::string(name));
}

// "config", "budgets" and 1 give "config.budgets[1]".
inline std::string FieldPath(std::string_view parent, std::string_view name,
                             int index) {
  return absl::StrCat(FieldPath(parent, name), "[", index, "]");
}

}  // namespace kvrecall
