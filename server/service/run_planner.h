#pragma once

// What the service asks of the rest of the server before it makes a run.

#include "absl/status/statusor.h"

#include "common/record/run_config.h"

namespace kvrecall {

// A run as it will be recorded.
struct Plan {
  RunConfig config;
  Provenance provenance;
};

// Knows the policies and the model. Thread-safe; must not block.
class RunPlanner {
 public:
  virtual ~RunPlanner() = default;
  // `requested` has all defaults filled in (see defaults.h). Checks the
  // policies against the scopes, completes their parameters and names what
  // the numbers will depend on. InvalidArgument: an unknown policy or
  // parameter, or one that does not go with a scope.
  virtual absl::StatusOr<Plan> Complete(RunConfig requested) = 0;
};

}  // namespace kvrecall
