#pragma once

// From the engine's observations of one sample to its step records: every
// policy at every budget in every scope, in the pass that made the token.
// Belongs to one sample and to the engine thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "common/record/run_config.h"
#include "server/engine/model.h"
#include "server/telemetry/distribution.h"
#include "server/telemetry/key_statistics.h"
#include "server/telemetry/policy.h"
#include "server/telemetry/policy_registry.h"
#include "server/telemetry/selector.h"

namespace kvrecall {

struct TelemetryShape {
  int64_t layers = 0;
  int64_t prompt_tokens = 0;   // P
  int64_t max_new_tokens = 0;  // state is sized for this many steps
  bool keep_sets = false;      // Held() answers for every lane: for tests
};

class SampleTelemetry {
 public:
  // InvalidArgument: a policy, parameter or gap lane that does not exist, or a
  // policy that none of the scopes has.
  static absl::StatusOr<std::unique_ptr<SampleTelemetry>> Create(
      const RunConfig& config, const TelemetryShape& shape,
      const PolicyContext& context);

  // The windows whose sums the prefill has to yield; ascending.
  const std::vector<int64_t>& windows() const { return windows_; }

  // The most bytes that the state takes for a model with `kv_heads` in each
  // layer, with scores in passing and the windows that the prefill sums for it.
  int64_t MostBytes(int64_t kv_heads) const;

  // `prefill` is of the prompt's tokens but the last, with windows() asked for.
  // `sequence` holds them, and is looked at as long as this lives. Call once,
  // before the first step.
  void Begin(const PrefillObservation& prefill, const Sequence& sequence);

  // The record of the next step, whose attention is `rows` [layers, kv_heads,
  // N_t], float32, and which chose `token` with natural log-probability
  // `logprob`. Tokens' texts are left empty: they are the caller's. So are the
  // gaps. Accumulated scores take the step's own rows in only after its
  // recalls.
  StepRecord Observe(const at::Tensor& rows,
                     const TokenDistribution& distribution, int64_t token,
                     double logprob);

  // What each gap lane of the run may see at the step just observed: as
  // Model::StepMasked takes it.
  std::vector<at::Tensor> GapMasks() const;

  // [R, N], bool: what the lane (of Lanes(config)) held at the step just
  // observed. Only lanes of an irreversible policy or of a gap, or all with
  // keep_sets.
  at::Tensor Held(int lane) const;

 private:
  struct PolicyState {
    int index = 0;  // into RunConfig::policies
    std::unique_ptr<Policy> policy;
    int64_t row_bytes = 0;     // as PolicyNeeds has it
    at::Tensor held;           // masks [R, P + max new tokens], int16, or none
    std::vector<int64_t> had;  // K of each budget at the step before
  };
  struct ScopeState {
    Scope scope = Scope::kGlobal;
    std::vector<PolicyState> policies;
    at::Tensor accumulated;   // [R, P + max new tokens], float64
    at::Tensor previous_row;  // [R, N − 1], float32
    std::map<int64_t, at::Tensor> window_sums;  // [R, P − 1], float32
    at::Tensor gold, previous_gold;  // masks [R, P + max new tokens], int16
  };

  SampleTelemetry(RunConfig config, const TelemetryShape& shape)
      : config_(std::move(config)), shape_(shape), lanes_(Lanes(config_)) {}

  absl::Status AddPolicies(const PolicyContext& context);
  bool IsKept(int policy, Scope scope) const;
  bool HasMasks(const PolicyState& policy, Scope scope) const;
  StepView ViewOf(const ScopeState& state, int64_t n) const;
  SetJob GoldJob(const ScopeState& state, const at::Tensor& row) const;
  SetJob PolicyJob(const ScopeState& state, const PolicyState& policy,
                   const StepView& view, const at::Tensor& row) const;
  void FillFigures(std::span<const at::Tensor> rows,
                   const at::Tensor& entropies, int64_t n, StepRecord& record);
  void FillLost(const ScopeState& state, const at::Tensor& row,
                StepRecord& record) const;
  const ScopeState& StateOf(Scope scope) const;
  // [R, N], bool.
  at::Tensor HeldBy(const ScopeState& state, int policy, int budget) const;
  int FirstLane(int policy, Scope scope) const;

  const RunConfig config_;  // gap lanes spelled as their policies
  const TelemetryShape shape_;
  const std::vector<Lane> lanes_;
  std::vector<int64_t> windows_;
  bool wants_norms_ = false, wants_similarities_ = false;
  std::vector<ScopeState> scopes_;  // in the order of config_.scopes
  std::optional<KeyStatistics> keys_;
  int64_t step_ = 0;
  int64_t kv_heads_ = 1;
  int64_t positions_ = 0;             // N of the step just observed
  double previous_entropy_ = 0;       // nats
  std::vector<int64_t> ks_;           // K of each budget at the step
  std::vector<int64_t> previous_ks_;  // at the step before
};

}  // namespace kvrecall
