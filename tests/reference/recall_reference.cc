#include "tests/reference/recall_reference.h"

#include <cstddef>

namespace kvrecall {

std::set<int64_t> TopPositions(const std::vector<double>& scores, int64_t k) {
  std::set<int64_t> chosen;
  while (static_cast<int64_t>(chosen.size()) < k) {
    int64_t best = -1;
    for (int64_t j = 0; j < static_cast<int64_t>(scores.size()); ++j)
      if (!chosen.contains(j) && (best < 0 || scores[j] > scores[best]))
        best = j;
    chosen.insert(best);
  }
  return chosen;
}

ReferenceRecall RecallSlowly(const std::vector<std::vector<double>>& rows,
                             const std::vector<std::vector<double>>& scores,
                             int64_t k) {
  ReferenceRecall out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const int64_t n = static_cast<int64_t>(rows[r].size());
    const std::set<int64_t> gold = TopPositions(rows[r], k);
    const std::set<int64_t> held = TopPositions(scores[r], k);
    double hits = 0, mass = 0, gold_mass = 0;
    for (int64_t j : held) {
      hits += gold.contains(j);
      mass += rows[r][j];
    }
    for (int64_t j : gold) gold_mass += rows[r][j];
    const double g = gold.contains(n - 1) ? 1 : 0;
    const double kd = static_cast<double>(k);
    out.recall += hits / kd;
    out.chance +=
        n == 1 ? 1
               : (g + (kd - g) * (kd - 1) / static_cast<double>(n - 1)) / kd;
    out.mass += mass;
    out.mass_ratio += mass / gold_mass;
  }
  const double count = static_cast<double>(rows.size());
  out.recall /= count;
  out.chance /= count;
  out.mass /= count;
  out.mass_ratio /= count;
  return out;
}

}  // namespace kvrecall
