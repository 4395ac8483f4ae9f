#include "tests/reference/record_reference.h"

#include <cstddef>

namespace kvrecall {
namespace {

using Positions = std::set<int64_t>;

int64_t Common(const Positions& a, const Positions& b) {
  int64_t common = 0;
  for (const int64_t j : a) common += b.contains(j);
  return common;
}

double Mass(const RowFigures& row, const Positions& positions) {
  double mass = 0;
  for (const int64_t j : positions) mass += row.attention[j];
  return mass;
}

double Chance(const RowFigures& row, int64_t k) {
  const int64_t n = static_cast<int64_t>(row.attention.size());
  if (n == 1) return 1;
  const double g = row.gold.contains(n - 1) ? 1 : 0;
  const double kd = static_cast<double>(k);
  return (g + (kd - g) * (kd - 1) / static_cast<double>(n - 1)) / kd;
}

// Without {0 … 3} and {q_t − 31 … q_t}.
Positions WithoutFree(const Positions& positions, int64_t query) {
  Positions rest;
  for (const int64_t j : positions)
    if (j > 3 && j < query - 31) rest.insert(j);
  return rest;
}

double Drift(const Positions& a, const Positions& b) {
  const double common = static_cast<double>(Common(a, b));
  return 1 - common / (static_cast<double>(a.size() + b.size()) - common);
}

std::optional<double> Mean(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

RecallRecord RecordSlowly(const std::vector<RowFigures>& rows, int64_t k,
                          Scope scope, int64_t layers) {
  std::vector<double> recalls, chances, masses, ratios, without_free, drifts;
  for (const RowFigures& row : rows) {
    const int64_t query = static_cast<int64_t>(row.attention.size()) - 1;
    recalls.push_back(static_cast<double>(Common(row.held, row.gold)) /
                      static_cast<double>(k));
    chances.push_back(Chance(row, k));
    masses.push_back(Mass(row, row.held));
    ratios.push_back(Mass(row, row.held) / Mass(row, row.gold));
    const Positions gold = WithoutFree(row.gold, query);
    if (!gold.empty())
      without_free.push_back(static_cast<double>(Common(row.held, gold)) /
                             static_cast<double>(gold.size()));
    if (row.gold_before) drifts.push_back(Drift(row.gold, *row.gold_before));
  }
  RecallRecord record;
  record.k = k;
  record.recall = *Mean(recalls);
  record.chance = *Mean(chances);
  if (record.chance != 1)
    record.lift = (record.recall - record.chance) / (1 - record.chance);
  record.mass = *Mean(masses);
  record.mass_ratio = *Mean(ratios);
  record.recall_without_free_hits = Mean(without_free);
  record.drift = Mean(drifts);
  if (scope == Scope::kGlobal) return record;
  const size_t of_a_layer = rows.size() / static_cast<size_t>(layers);
  for (int64_t l = 0; l < layers; ++l) {
    const auto first = recalls.begin() + l * static_cast<int64_t>(of_a_layer);
    record.layer_recalls.push_back(static_cast<float>(
        *Mean({first, first + static_cast<int64_t>(of_a_layer)})));
  }
  return record;
}

}  // namespace kvrecall
