#pragma once

// A policy as it is written in flags, requests and records:
// "h2o", "random(seed=7)". Which names and parameters exist is known to
// server/telemetry alone; here they are only read and written.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

struct PolicySpec {
  std::string name;                          // [a-z][a-z0-9_]*
  std::map<std::string, double> parameters;  // sorted by name

  // Canonical text: name, then the parameters in order of their names, each
  // number in its shortest exact form. ParsePolicySpec reads it back exactly.
  std::string ToString() const;

  friend bool operator==(const PolicySpec&, const PolicySpec&) = default;
};

// InvalidArgument quotes the text and says what is wrong with its form.
absl::StatusOr<PolicySpec> ParsePolicySpec(std::string_view text);

// A comma-separated list (commas inside parentheses belong to a policy): not
// empty, no policy twice.
absl::StatusOr<std::vector<PolicySpec>> ParsePolicySpecs(std::string_view text);

}  // namespace kvrecall
