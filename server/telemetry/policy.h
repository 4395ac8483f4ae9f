#pragma once

// What an eviction policy is: something that scores positions. The selector
// keeps the best K, so all policies compare at the same budget. An object
// belongs to one sample and one scope, and to the engine thread.

#include <cstdint>

#include "ATen/core/Tensor.h"

#include "common/record/scope.h"
#include "server/telemetry/selector.h"

namespace kvrecall {

// What a policy may know when it decides what it holds at a step: attention
// of earlier queries only.
struct StepView {
  Scope scope = Scope::kGlobal;
  int64_t rows = 1;       // R, rows of the scope
  int64_t step = 1;       // t
  int64_t positions = 1;  // N_t; the step's own position is N_t − 1
  // S_t: [R, N_t − 1], float64, the sum of the rows of all earlier queries.
  at::Tensor accumulated;
};

class Policy {
 public:
  virtual ~Policy() = default;
  // What is higher is kept.
  virtual Scores Score(const StepView& view) = 0;
  // True for `oracle` alone: its sets are the gold sets, and it is not asked.
  virtual bool is_gold() const { return false; }
};

}  // namespace kvrecall
