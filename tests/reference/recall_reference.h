#pragma once

// Recall the slow, obvious way: sets of positions, one row at a time. Linked
// into tests only.

#include <cstdint>
#include <set>
#include <vector>

namespace kvrecall {

// The k best positions: higher score first, then lower position.
std::set<int64_t> TopPositions(const std::vector<double>& scores, int64_t k);

struct ReferenceRecall {
  double recall = 0, chance = 0, mass = 0, mass_ratio = 0;
};

// rows[r] is the attention of row r, scores[r] what the policy gives its
// positions; both of N entries.
ReferenceRecall RecallSlowly(const std::vector<std::vector<double>>& rows,
                             const std::vector<std::vector<double>>& scores,
                             int64_t k);

}  // namespace kvrecall
