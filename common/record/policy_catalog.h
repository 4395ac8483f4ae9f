#pragma once

// Every policy there is: names, parameters, triggers and sources. A constant
// table, readable from any thread. What a policy does stands in
// common/METRICS.md; the code that does it, in server/telemetry.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/record/policy_spec.h"
#include "common/record/scope.h"

namespace kvrecall {

enum class NumberRule { kAny, kWhole, kOdd };

struct PolicyParameter {
  std::string_view name;
  double fallback;
  double least, most;  // both allowed
  NumberRule rule;
  std::string_view summary;  // a few words
};

struct PolicyEntry {
  std::string_view name;
  std::string_view summary;  // one line
  std::string_view source;   // paper, or where the definition stands
  std::span<const PolicyParameter> parameters;
  bool irreversible = false;  // what it drops is gone; takes a trigger
  bool per_layer = false;     // budgets differ by layer: no scope global
};

// When an irreversible policy takes its set anew, as at step 1.
struct TriggerEntry {
  std::string_view name;
  std::string_view summary;
  PolicyParameter value;
};

std::span<const PolicyEntry> AllPolicies();
std::span<const TriggerEntry> AllTriggers();

// Null if there is none.
const PolicyEntry* FindPolicy(std::string_view name);

// Checks name, parameters and trigger, and fills in missing parameters.
// InvalidArgument names the nearest right name (of a parameter: if one is
// near), or the parameter and its range.
absl::StatusOr<PolicySpec> CompletePolicySpec(PolicySpec spec);

// Whether the policy makes sense in the scope; true for unknown names.
bool IsDefinedIn(const PolicySpec& spec, Scope scope);

// InvalidArgument where none of the scopes is one that the policy is defined
// in; the message says what to add.
absl::Status CheckScopes(const PolicySpec& spec, std::span<const Scope> scopes);

// As ParsePolicySpecs, with every policy and its defaults, in the table's
// order, in place of "all": "all,tova@periodic(16)".
absl::StatusOr<std::vector<PolicySpec>> ParsePolicyList(std::string_view text);

}  // namespace kvrecall
