#pragma once

// The figures of a run. Each says what it needs where it cannot be drawn: there
// is never an empty plot. Thread-safe: no shared state.

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/plot/script.h"
#include "common/analysis/run_analysis.h"
#include "common/analysis/run_table.h"

namespace kvrecall {

// What figures are made from; outlives the call.
struct PlotData {
  const std::string& run_id;
  const RunTable& table;
  const RunAnalysis& analysis;
};

// FailedPrecondition, in one line: what the run lacks for the figure.

// The study's: mean recall by entropy bin, a line with its band for each
// budget, chance dotted, the bins' steps below.
absl::StatusOr<Figure> RecallByEntropy(const PlotData& data);
// Entropy and recall of every step at the smallest budget, with the trend.
absl::StatusOr<Figure> RecallScatter(const PlotData& data);
// Recall of each layer at each step of an answer, mean over samples.
absl::StatusOr<Figure> RecallByLayer(const PlotData& data);
// Mean recall of all policies at all budgets.
absl::StatusOr<Figure> PoliciesCompared(const PlotData& data);
// Recall against the positions that triggers fetch back.
absl::StatusOr<Figure> RecallByTraffic(const PlotData& data);
// What announces recall < tau.
absl::StatusOr<Figure> TriggerRoc(const PlotData& data);

struct NamedFigure {
  std::string name;
  absl::StatusOr<Figure> figure;
};

// All of them, in this order.
std::vector<NamedFigure> AllFigures(const PlotData& data);

}  // namespace kvrecall
