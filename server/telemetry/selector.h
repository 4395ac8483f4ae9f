#pragma once

// The one selector: which positions a policy keeps, given its scores, and what
// the sets are worth. Higher score first, then lower position, on every device;
// so sets are deterministic. One pass over a row serves all budgets, and a row
// is compared while it is still near. Stateless; runs on the calling thread
// and libtorch's pool.
//
// Sets of all budgets of a row are masks: bit b of a position's 16 is set where
// the b-th budget's set has the position.

#include <cstdint>
#include <span>
#include <vector>

#include "ATen/core/Tensor.h"

namespace kvrecall {

// The most budgets that one call serves: bits of a mask.
inline constexpr int kMostBudgets = 16;

// What a set is chosen from.
struct Scores {
  // [R, ≥ N − w], float32 or float64, without NaN, for the least w below.
  at::Tensor values;
  // The last w positions come before all others, the latest first: one w for
  // all budgets, or one for each.
  std::vector<int64_t> last = {0};
  // `values` rounded to float32, of the same shape, if they lie about: most of
  // the work needs no more. Undefined: made on the way.
  at::Tensor rounded = {};
};

// One policy's sets, or the gold sets, in the rows of one scope.
struct SetJob {
  Scores scores;
  int budgets = 0;  // B
  // How many positions each set has, 1 … N: [B], the same in all rows, or
  // [R · B], row by row.
  std::vector<int64_t> ks;
  // The row's weights, [R, N], float32, that mass is summed over.
  at::Tensor weights;
  // Masks [R, ≥ N], int16, to compare with; undefined: nothing to compare with.
  at::Tensor other;
  // Masks [R, ≥ N], int16. Undefined if nobody wants to see them.
  at::Tensor held;
  // [B], not empty: the sets go on from those of `held`, which has so many
  // positions in each row, all below N − 1; ks are at most one more. Position
  // N − 1 joins, and whatever is too much goes, the last in the order first;
  // nothing else may enter.
  std::vector<int64_t> had;
  // `held` has sets that are chosen anew: count what came back.
  bool count_fetched = false;
};

// What is counted for each row and budget.
enum SetFigure {
  kCommon,        // positions that `other` has too
  kCommonEarned,  // of those, outside the first 4 and the last 32
  kEarned,        // positions of the set outside of both
  kMass,          // Σ of the weights
  kHasLast,       // 1 where the set has position N − 1
  kFetched,       // with count_fetched: new to the set, N − 1 aside
  kSetFigures,
};

// Positions that a policy gets for free: the first and the last of a row.
inline constexpr int64_t kFirstFree = 4;
inline constexpr int64_t kLastFree = 32;

// Of each job, [kSetFigures, R, B], float64, on the jobs' device. All jobs have
// the same N and B. A job's `other` may be the `held` of one before it, which
// itself waits for none; otherwise no job writes what another reads.
std::vector<at::Tensor> FormSets(std::span<const SetJob> jobs);

// The job whose `held` is `other` of the given one, or that one itself.
size_t WaitsFor(std::span<const SetJob> jobs, size_t job);

}  // namespace kvrecall
