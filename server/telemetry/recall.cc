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

namespace {

// Per row and budget, on the host.
struct Figures {
  at::Tensor hits, mass, gold_mass;  // [R, B], float64
  at::Tensor last_level;             // [R], float64
};

Figures Gather(const RowSets& gold, const RowSets& predicted) {
  Figures f = {CountCommon(gold, predicted), predicted.mass, gold.mass,
               gold.levels.select(1, gold.levels.size(1) - 1).to(at::kDouble)};
  if (f.hits.device().is_cpu()) return f;
  // One transfer.
  const int64_t rows = f.hits.size(0), budgets = f.hits.size(1);
  const at::Tensor all =
      at::cat({f.hits, f.mass, f.gold_mass, f.last_level.unsqueeze(1)}, 1)
          .to(at::kCPU);
  const auto part = [&](int64_t i) {
    return all.narrow(1, i * budgets, budgets).contiguous();
  };
  return {part(0), part(1), part(2),
          all.select(1, 3 * budgets).reshape({rows}).contiguous()};
}

}  // namespace

std::vector<RecallRecord> CompareSets(const RowSets& gold,
                                      const RowSets& predicted,
                                      std::span<const int64_t> ks) {
  const int64_t rows = gold.levels.size(0);
  const int64_t n = gold.levels.size(1);
  const int64_t budgets = static_cast<int64_t>(ks.size());
  const Figures figures = Gather(gold, predicted);
  const double* hits = figures.hits.data_ptr<double>();
  const double* mass = figures.mass.data_ptr<double>();
  const double* gold_mass = figures.gold_mass.data_ptr<double>();
  const double* last_level = figures.last_level.data_ptr<double>();

  std::vector<RecallRecord> records(ks.size());
  for (int64_t b = 0; b < budgets; ++b) {
    RecallRecord& record = records[static_cast<size_t>(b)];
    record.k = ks[static_cast<size_t>(b)];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = r * budgets + b;
      const double recall = hits[at] / static_cast<double>(record.k);
      record.recall += recall;
      record.chance +=
          ChanceRecall(record.k, n, last_level[r] <= static_cast<double>(b));
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
