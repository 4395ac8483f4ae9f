#pragma once

// Comparing a predicted set with the gold set. Stateless.

#include <cstdint>
#include <span>
#include <vector>

#include "common/record/record.h"
#include "server/telemetry/selector.h"

namespace kvrecall {

// Recall, mass and chance of the predicted sets against the gold sets, per
// row, averaged; one record for each of `ks`, ascending, which both were
// selected with, over `n` positions. `row_recalls` is filled where there are
// several rows. Formulas: common/METRICS.md.
std::vector<RecallRecord> CompareSets(const RowSets& gold,
                                      const RowSets& predicted,
                                      std::span<const int64_t> ks, int64_t n);

// The exact expectation of a random set of k positions out of n that holds the
// last one, against a gold set of k that has the last one or not.
double ChanceRecall(int64_t k, int64_t n, bool gold_has_last);

}  // namespace kvrecall
