#include "server/telemetry/recall.h"

#include <cmath>

#include "ATen/ATen.h"

namespace kvrecall {

double ChanceRecall(int64_t k, int64_t n, bool gold_has_last) {
  if (n == 1) return 1;
  const double g = gold_has_last ? 1 : 0;
  const double kd = static_cast<double>(k);
  return (g + (kd - g) * (kd - 1) / static_cast<double>(n - 1)) / kd;
}

std::vector<RecallRecord> CompareSets(const RowSets& gold,
                                      const RowSets& predicted,
                                      std::span<const int64_t> ks, int64_t n) {
  const at::Tensor figures = CompareRowSets(gold, predicted);
  const int64_t rows = figures.size(1);
  const int64_t budgets = figures.size(2);
  const double* hits = figures.data_ptr<double>();
  const double* mass = hits + rows * budgets;
  const double* gold_mass = mass + rows * budgets;
  const double* has_last = gold_mass + rows * budgets;

  std::vector<RecallRecord> records(ks.size());
  for (int64_t b = 0; b < budgets; ++b) {
    RecallRecord& record = records[static_cast<size_t>(b)];
    record.k = ks[static_cast<size_t>(b)];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = r * budgets + b;
      const double recall = hits[at] / static_cast<double>(record.k);
      record.recall += recall;
      record.chance += ChanceRecall(record.k, n, has_last[at] != 0);
      record.mass += mass[at];
      record.mass_ratio += mass[at] / gold_mass[at];
      if (rows > 1) record.row_recalls.push_back(static_cast<float>(recall));
    }
    const double count = static_cast<double>(rows);
    record.recall /= count;
    record.chance /= count;
    record.mass /= count;
    record.mass_ratio /= count;
    if (record.chance < 1)
      record.lift = (record.recall - record.chance) / (1 - record.chance);
  }
  return records;
}

}  // namespace kvrecall
