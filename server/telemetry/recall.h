#pragma once

// Comparing a predicted set with the gold set. Stateless.

#include <cstdint>

#include "ATen/core/Tensor.h"

#include "common/record/record.h"

namespace kvrecall {

// Recall, mass and chance of the sets {rank < k}, per row, averaged.
//   rows            [R, N], float32: the step's attention
//   gold_ranks      [R, N], int64: RankPositions(rows)
//   predicted_ranks [R, N], int64: RankPositions(the policy's scores)
//   k               1 … N
// `row_recalls` is filled where R > 1. Formulas: common/METRICS.md.
RecallRecord CompareSets(const at::Tensor& rows, const at::Tensor& gold_ranks,
                         const at::Tensor& predicted_ranks, int64_t k);

// The exact expectation of a random set of k positions out of n that holds the
// last one, against a gold set of k that has the last one or not.
double ChanceRecall(int64_t k, int64_t n, bool gold_has_last);

}  // namespace kvrecall
