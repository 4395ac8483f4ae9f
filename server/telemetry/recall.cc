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

RecallRecord CompareSets(const at::Tensor& rows, const at::Tensor& gold_ranks,
                         const at::Tensor& predicted_ranks, int64_t k) {
  const int64_t count = rows.size(0);
  const int64_t n = rows.size(1);
  const at::Tensor gold = gold_ranks < k;
  const at::Tensor predicted = predicted_ranks < k;
  const at::Tensor wide = rows.to(at::kDouble);
  // One transfer: [4, R], float64.
  const at::Tensor figures =
      at::stack({gold.logical_and(predicted).sum(-1).to(at::kDouble),
                 (wide * predicted).sum(-1), (wide * gold).sum(-1),
                 gold.select(1, n - 1).to(at::kDouble)})
          .to(at::kCPU)
          .contiguous();
  const double* hits = figures.data_ptr<double>();
  const double* mass = hits + count;
  const double* gold_mass = mass + count;
  const double* gold_has_last = gold_mass + count;

  RecallRecord record;
  record.k = k;
  for (int64_t r = 0; r < count; ++r) {
    const double recall = hits[r] / static_cast<double>(k);
    record.recall += recall;
    record.chance += ChanceRecall(k, n, gold_has_last[r] != 0);
    record.mass += mass[r];
    record.mass_ratio += mass[r] / gold_mass[r];
    if (count > 1) record.row_recalls.push_back(static_cast<float>(recall));
  }
  record.recall /= count;
  record.chance /= count;
  record.mass /= count;
  record.mass_ratio /= count;
  if (record.chance < 1)
    record.lift = (record.recall - record.chance) / (1 - record.chance);
  return record;
}

}  // namespace kvrecall
