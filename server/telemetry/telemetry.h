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
#include "server/host_copies.h"
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

  // Tells the device what the next step's record needs, without waiting for it:
  // the step's attention is `rows` [layers, kv_heads, N_t], float32, and it
  // chose `token` with natural log-probability `logprob`. Accumulated scores
  // take the step's own rows in only after its recalls. The sequence may have
  // gone on. On the CPU `rows` must stay as they are until Take.
  void Queue(const at::Tensor& rows, const TokenDistribution& distribution,
             int64_t token, double logprob);

  // The record of the step queued last, once it is there. Call once for each
  // Queue, before the next. Tokens' texts are left empty: they are the
  // caller's. So are the gaps.
  StepRecord Take();

  // Queue and Take.
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

  // What a step's record is made of; tensors on their way to the host.
  struct Queued {
    StepRecord record;                // without what follows
    std::vector<at::Tensor> figures;  // of gold in each scope, of the policies
    at::Tensor entropies;             // of the layers
    // Of scope global, where the run has it: weights [1, N], float32; masks
    // [1, N] of gold and of the policies in `lost_policies`.
    at::Tensor lost_weights;
    std::vector<at::Tensor> lost_masks;
    std::vector<int> lost_policies;  // into RunConfig::policies
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
  void QueueFigures(std::span<const at::Tensor> rows,
                    const at::Tensor& entropies, int64_t n);
  void QueueLost(const ScopeState& state, const at::Tensor& row);
  void FillRecalls(StepRecord& record) const;
  void FillLost(StepRecord& record) const;
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
  HostCopies copies_;
  Queued queued_;  // not taken yet
};

}  // namespace kvrecall
