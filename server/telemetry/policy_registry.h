#pragma once

// Every policy there is: names, parameters, sources, and how to make one. A
// constant table, readable from any thread.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/record/policy_spec.h"
#include "server/telemetry/policy.h"

namespace kvrecall {

struct PolicyParameter {
  std::string_view name;
  double fallback;
  double least, most;  // both allowed
  bool whole;          // whole numbers only
};

// What a policy is made from besides its parameters.
struct PolicyContext {
  uint64_t sample_key = 0;  // first 8 bytes of the sample key, big-endian
};

struct PolicyEntry {
  std::string_view name;
  std::string_view summary;  // one line
  std::string_view source;   // paper, or where the definition stands
  std::span<const PolicyParameter> parameters;
  // `spec` is complete: every parameter present.
  std::unique_ptr<Policy> (*make)(const PolicySpec& spec,
                                  const PolicyContext& context);
};

std::span<const PolicyEntry> AllPolicies();

// Checks name and parameters and fills in the missing ones. InvalidArgument
// names the nearest right name, or the parameter and its range.
absl::StatusOr<PolicySpec> CompletePolicySpec(PolicySpec spec);

// `spec` must come from CompletePolicySpec.
absl::StatusOr<std::unique_ptr<Policy>> MakePolicy(
    const PolicySpec& spec, const PolicyContext& context);

}  // namespace kvrecall
