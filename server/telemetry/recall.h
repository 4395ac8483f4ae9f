#pragma once

// From what the selector counted to recalls. Stateless.

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

#include "common/record/record.h"

namespace kvrecall {

// The gold sets of one scope at one step.
struct GoldSets {
  // [kSetFigures, R, B], float64, on the CPU; compared with those of the step
  // before.
  at::Tensor figures;
  std::vector<int64_t> ks;           // [B]
  std::vector<int64_t> previous_ks;  // [B]; empty at step 1
  int64_t n = 0;                     // positions
  // R is layers × groups. 0: scope global, whose one row is of all layers, so
  // that no layer has a recall of its own.
  int64_t layers = 0;
};

// One record a budget. `held`: figures of the policy's sets, compared with the
// gold sets; `irreversible`: what was fetched back is recorded. Per row, then
// averaged; formulas: common/METRICS.md.
std::vector<RecallRecord> MakeRecalls(const GoldSets& gold,
                                      const at::Tensor& held,
                                      bool irreversible);

// The same of the gold sets themselves: the oracle's.
std::vector<RecallRecord> MakeOracleRecalls(const GoldSets& gold);

// The exact expectation of a random set of k positions out of n that holds the
// last one, against a gold set of k that has the last one or not.
double ChanceRecall(int64_t k, int64_t n, bool gold_has_last);

}  // namespace kvrecall
