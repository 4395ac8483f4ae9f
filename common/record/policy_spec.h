#pragma once

// A policy as it is written in flags, requests and records:
// "h2o", "random(seed=7)", "h2o_evict@entropy(2)". Which names, parameters and
// triggers exist is policy_catalog's to know; here they are read and written.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

// A number as policies are written with: in its shortest exact form, a whole
// one without a decimal point. Finite numbers only.
std::string NumberText(double value);

// When an irreversible policy takes its set anew.
struct TriggerSpec {
  std::string name;  // [a-z][a-z0-9_]*
  double value = 0;

  friend bool operator==(const TriggerSpec&, const TriggerSpec&) = default;
};

struct PolicySpec {
  std::string name;                          // [a-z][a-z0-9_]*
  std::map<std::string, double> parameters;  // sorted by name
  std::optional<TriggerSpec> trigger = std::nullopt;

  // Canonical text: name, the parameters in order of their names, the trigger;
  // each number in its shortest exact form. ParsePolicySpec reads it back
  // exactly.
  std::string ToString() const;

  friend bool operator==(const PolicySpec&, const PolicySpec&) = default;
};

// InvalidArgument quotes the text and says what is wrong with its form.
absl::StatusOr<PolicySpec> ParsePolicySpec(std::string_view text);

// A comma-separated list (commas inside parentheses belong to a policy): not
// empty, no policy twice.
absl::StatusOr<std::vector<PolicySpec>> ParsePolicySpecs(std::string_view text);

}  // namespace kvrecall
