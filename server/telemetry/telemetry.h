#pragma once

// From the engine's observations of one sample to its step records: every
// policy at every budget in every scope, in the pass that made the token.
// Belongs to one sample and to the engine thread.

#include <cstdint>
#include <memory>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "common/record/run_config.h"
#include "server/telemetry/distribution.h"
#include "server/telemetry/policy.h"
#include "server/telemetry/policy_registry.h"

namespace kvrecall {

struct TelemetryShape {
  int64_t layers = 0;
  int64_t prompt_tokens = 0;   // P
  int64_t max_new_tokens = 0;  // state is sized for this many steps
};

class SampleTelemetry {
 public:
  // InvalidArgument: a policy or parameter that does not exist.
  static absl::StatusOr<std::unique_ptr<SampleTelemetry>> Create(
      const RunConfig& config, const TelemetryShape& shape,
      const PolicyContext& context);

  // `sums` [layers, kv_heads, P − 1], float32: column sums over the prompt's
  // queries but the last. Call once, before the first step.
  void Begin(const at::Tensor& sums);

  // The record of the next step, whose attention is `rows` [layers, kv_heads,
  // N_t], float32, and which chose `token` with natural log-probability
  // `logprob`. StepRecord::token is left empty: text is the caller's.
  // Accumulated scores take the step's own rows in only after its recalls.
  StepRecord Observe(const at::Tensor& rows,
                     const TokenDistribution& distribution, int64_t token,
                     double logprob);

 private:
  struct ScopeState {
    Scope scope;
    at::Tensor accumulated;  // [R, P + max new tokens], float64
    std::vector<std::unique_ptr<Policy>> policies;
  };

  // The budgets' K at a step, ascending, and where each budget's stands.
  struct Budgets {
    std::vector<int64_t> ks;
    std::vector<size_t> places;
  };
  Budgets BudgetsAt(int64_t n) const;

  SampleTelemetry(const RunConfig& config, const TelemetryShape& shape)
      : config_(config), shape_(shape) {}

  const RunConfig config_;
  const TelemetryShape shape_;
  std::vector<ScopeState> scopes_;  // in the order of config_.scopes
  int64_t step_ = 0;
};

}  // namespace kvrecall
