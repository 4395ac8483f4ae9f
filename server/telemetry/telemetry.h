#pragma once

// From the engine's observations of one sample to its step records: every
// policy at every budget in every scope, in the pass that made the token.
// Belongs to one sample and to the engine thread.

#include <cstdint>
#include <memory>
#include <optional>
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

  // `prefill` is of the prompt's tokens but the last, with windows() asked for.
  // `sequence` holds them, and is looked at as long as this lives. Call once,
  // before the first step.
  void Begin(const PrefillObservation& prefill, const Sequence& sequence);

  // The record of the next step, whose attention is `rows` [layers, kv_heads,
  // N_t], float32, and which chose `token` with natural log-probability
  // `logprob`. StepRecord::token is left empty: text is the caller's. So are
  // the gaps. Accumulated scores take the step's own rows in only after its
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
