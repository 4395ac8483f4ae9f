#pragma once

// From a policy's spec to the object that scores. The table of all policies is
// common/record/policy_catalog.h. Stateless.

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

#include "common/record/policy_spec.h"
#include "server/telemetry/policy.h"

namespace kvrecall {

// What a policy is made from besides its parameters.
struct PolicyContext {
  uint64_t sample_key = 0;  // first 8 bytes of the sample key, big-endian
};

// What a policy must be told beyond the accumulated attention, and what it
// takes.
struct PolicyNeeds {
  int64_t window = 0;  // w of the window sums; 0: none
  bool key_norms = false;
  bool key_similarities = false;
  // Bytes that its own scores take at most, for each row and position, in
  // passing or for good.
  int64_t row_bytes = 0;
};

// Of a spec from CompletePolicySpec.
PolicyNeeds NeedsOf(const PolicySpec& spec);

// InvalidArgument: as CompletePolicySpec, which `spec` need not have passed.
absl::StatusOr<std::unique_ptr<Policy>> MakePolicy(
    const PolicySpec& spec, const PolicyContext& context);

}  // namespace kvrecall
