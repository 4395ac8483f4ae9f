#include "server/telemetry/recall.h"

#include "ATen/ATen.h"

#include "server/telemetry/selector.h"

namespace kvrecall {
namespace {

// One budget's figures, by row.
class BudgetFigures {
 public:
  BudgetFigures(const at::Tensor& figures, int64_t budget)
      : rows_(figures.size(1)),
        budgets_(figures.size(2)),
        data_(figures.data_ptr<double>() + budget) {}

  int64_t rows() const { return rows_; }
  double Of(SetFigure figure, int64_t row) const {
    return data_[(figure * rows_ + row) * budgets_];
  }

 private:
  const int64_t rows_, budgets_;
  const double* const data_;
};

double Mean(double sum, int64_t count) {
  return sum / static_cast<double>(count);
}

// Of the gold set with that of the step before.
double RowDrift(double common, int64_t k, int64_t previous_k) {
  return 1 - common / (static_cast<double>(k + previous_k) - common);
}

void FillDrift(const GoldSets& sets, const BudgetFigures& gold, size_t budget,
               RecallRecord& record) {
  if (sets.previous_ks.empty()) return;
  double drift = 0;
  for (int64_t r = 0; r < gold.rows(); ++r)
    drift += RowDrift(gold.Of(kCommon, r), sets.ks[budget],
                      sets.previous_ks[budget]);
  record.drift = Mean(drift, gold.rows());
}

// `hits` and `earned_hits` [R]: gold positions that the policy holds.
template <typename Hits, typename EarnedHits>
RecallRecord MakeRecall(const GoldSets& sets, const BudgetFigures& gold,
                        const BudgetFigures& held, size_t budget, Hits hits,
                        EarnedHits earned_hits) {
  RecallRecord record;
  record.k = sets.ks[budget];
  const int64_t rows = gold.rows();
  const int64_t per_layer = sets.layers == 0 ? 0 : rows / sets.layers;
  double earned = 0;
  int64_t earning = 0;
  std::vector<double> of_layers(static_cast<size_t>(sets.layers));
  for (int64_t r = 0; r < rows; ++r) {
    const double recall = hits(r) / static_cast<double>(record.k);
    record.recall += recall;
    record.chance += ChanceRecall(record.k, sets.n, gold.Of(kHasLast, r) != 0);
    record.mass += held.Of(kMass, r);
    record.mass_ratio += held.Of(kMass, r) / gold.Of(kMass, r);
    if (gold.Of(kEarned, r) > 0) {
      earned += earned_hits(r) / gold.Of(kEarned, r);
      ++earning;
    }
    if (per_layer > 0) of_layers[static_cast<size_t>(r / per_layer)] += recall;
  }
  record.recall = Mean(record.recall, rows);
  record.chance = Mean(record.chance, rows);
  record.mass = Mean(record.mass, rows);
  record.mass_ratio = Mean(record.mass_ratio, rows);
  if (record.chance < 1)
    record.lift = (record.recall - record.chance) / (1 - record.chance);
  if (earning > 0) record.recall_without_free_hits = Mean(earned, earning);
  FillDrift(sets, gold, budget, record);
  for (const double sum : of_layers)
    record.layer_recalls.push_back(static_cast<float>(Mean(sum, per_layer)));
  return record;
}

}  // namespace

double ChanceRecall(int64_t k, int64_t n, bool gold_has_last) {
  if (n == 1) return 1;
  const double g = gold_has_last ? 1 : 0;
  const double kd = static_cast<double>(k);
  return (g + (kd - g) * (kd - 1) / static_cast<double>(n - 1)) / kd;
}

std::vector<RecallRecord> MakeRecalls(const GoldSets& gold,
                                      const at::Tensor& held,
                                      bool irreversible) {
  std::vector<RecallRecord> records;
  for (size_t b = 0; b < gold.ks.size(); ++b) {
    const BudgetFigures of_gold(gold.figures, static_cast<int64_t>(b));
    const BudgetFigures of_held(held, static_cast<int64_t>(b));
    records.push_back(MakeRecall(
        gold, of_gold, of_held, b,
        [&](int64_t r) { return of_held.Of(kCommon, r); },
        [&](int64_t r) { return of_held.Of(kCommonEarned, r); }));
    if (!irreversible) continue;
    double fetched = 0;
    for (int64_t r = 0; r < of_held.rows(); ++r)
      fetched += of_held.Of(kFetched, r);
    records.back().fetched_back = Mean(fetched, of_held.rows());
  }
  return records;
}

std::vector<RecallRecord> MakeOracleRecalls(const GoldSets& gold) {
  std::vector<RecallRecord> records;
  for (size_t b = 0; b < gold.ks.size(); ++b) {
    const BudgetFigures figures(gold.figures, static_cast<int64_t>(b));
    records.push_back(MakeRecall(
        gold, figures, figures, b,
        [&](int64_t) { return static_cast<double>(gold.ks[b]); },
        [&](int64_t r) { return figures.Of(kEarned, r); }));
  }
  return records;
}

}  // namespace kvrecall
