#pragma once

// The one selector: which positions a policy keeps, given its scores. Higher
// score first, then lower position, on every device; so sets are
// deterministic. One pass over a row serves all budgets. Stateless; runs on
// the calling thread and libtorch's pool.

#include <cstdint>
#include <span>
#include <vector>

#include "ATen/core/Tensor.h"

namespace kvrecall {

// What a set is chosen from.
struct Scores {
  // [R, N], or [R, N − 1] if `own_first`; float32 or float64, without NaN.
  at::Tensor values;
  // The step's own position, N − 1, comes before all others.
  bool own_first = false;
  // `values` rounded to float32, of the same shape, if they lie about: most of
  // the work needs no more. Undefined: made on the way.
  at::Tensor rounded = {};
};

// For each row, the sets of the K best positions for several K at once: they
// are nested, so a position needs one number.
struct RowSets {
  // [R, N], uint8: how many of the sets leave the position out. It is in the
  // set of the b-th smallest K where the level is at most b.
  at::Tensor levels;
  // [R, B], float64: Σ of the row's weights over each set.
  at::Tensor mass;

  // On CUDA the sets stay as their thresholds instead, and the rest is
  // undefined: scores [R, N], the K-th highest [R, B], and the last position
  // [R, B], int64, among equal ones that is inside.
  at::Tensor scores, values, positions, weights;
};

// The most budgets that one call serves.
inline constexpr int kMostBudgets = 255;

// One matrix of scores, and the rows [R, N], float32, that mass is summed over.
struct SelectionJob {
  Scores scores;
  at::Tensor weights;
};

// The sets of each job. `ks`: 1 … N each, ascending, at most kMostBudgets; all
// jobs have the same N.
std::vector<RowSets> SelectTop(std::span<const SelectionJob> jobs,
                               std::span<const int64_t> ks);

// Of each K's sets, [4, R, B], float64, on the host: how many positions both
// hold, the mass of the predicted, the mass of the gold, and 1 where the gold
// set has the last position.
at::Tensor CompareRowSets(const RowSets& gold, const RowSets& predicted);

}  // namespace kvrecall
