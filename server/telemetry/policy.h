#pragma once

// What an eviction policy is: something that scores positions. The selector
// keeps the best K, so all policies compare at the same budget. An object
// belongs to one sample and one scope, and to the engine thread.

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "ATen/core/Tensor.h"

#include "common/record/scope.h"
#include "server/telemetry/selector.h"

namespace kvrecall {

// What a policy may know when it decides what it holds at a step: attention
// of earlier queries only, and the keys of earlier positions.
struct StepView {
  Scope scope = Scope::kGlobal;
  int64_t layers = 1;           // L
  int64_t rows = 1;             // R, rows of the scope
  int64_t step = 1;             // t
  int64_t positions = 1;        // N_t; the step's own position is N_t − 1
  int64_t prompt_tokens = 1;    // P
  std::span<const int64_t> ks;  // K of each budget
  double previous_entropy = 0;  // H_{t−1}, nats; of no meaning at step 1
  // S_t: [R, N_t − 1], float64, the sum of the rows of all earlier queries.
  at::Tensor accumulated;
  // The row of the query before: [R, N_t − 1], float32.
  at::Tensor previous_row;
  // By window w: the sums of the rows of the last w − 1 prompt queries before
  // the last: [R, P − 1], float32. Those that the run's policies asked for.
  const std::map<int64_t, at::Tensor>* window_sums = nullptr;
  // Of the keys, where a policy asked for it: norms and cosine similarities to
  // the mean of the normalised keys, [layers, kv_heads, N_t − 1], float32.
  at::Tensor key_norms, key_similarities;
};

class Policy {
 public:
  virtual ~Policy() = default;

  // What is higher is kept.
  virtual Scores Score(const StepView& view) = 0;

  // How many positions each set has: as SetJob::ks.
  virtual std::vector<int64_t> Sizes(const StepView& view) const {
    return {view.ks.begin(), view.ks.end()};
  }

  // True: what a set drops never comes back to it, unless TakesAnew.
  virtual bool irreversible() const { return false; }
  // Whether an irreversible policy chooses from all positions at this step,
  // as at step 1, where it must.
  virtual bool TakesAnew(const StepView&) const { return true; }

  // True for `oracle` alone: its sets are the gold sets, and it is not asked.
  virtual bool is_gold() const { return false; }
};

}  // namespace kvrecall
