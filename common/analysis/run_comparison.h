#pragma once

// Runs side by side: what differs between them, with intervals. Thread-safe: no
// shared state; deterministic by the seed.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/analysis/resamples.h"
#include "common/analysis/run_analysis.h"
#include "common/analysis/run_table.h"

namespace kvrecall {

// A figure of each run, and of each its difference from the first run's (the
// first difference is empty).
struct ComparedFigure {
  std::vector<Estimate> values;
  std::vector<Estimate> differences;
};

// One policy × scope × budget that all runs have.
struct LaneComparison {
  std::string policy;
  Scope scope = Scope::kGlobal;
  Budget budget;
  ComparedFigure recall;   // mean
  ComparedFigure pearson;  // of entropy with recall, pooled
};

struct RunComparison {
  // Samples that all runs have steps of. With two or more of them, only they
  // count, and a draw takes the same ones of every run; else each run's own
  // samples do, drawn by themselves.
  int64_t shared_samples = 0;
  bool paired = false;
  ComparedFigure entropy;  // mean, nats
  ComparedFigure score;    // mean over scored samples; empty where none is
  std::vector<LaneComparison> lanes;
  BootstrapOptions bootstrap;
};

// At least two tables. INVALID_ARGUMENT: fewer, or options out of range.
// FAILED_PRECONDITION: a run without steps (named by its number, from 1), or no
// lane that all have.
absl::StatusOr<RunComparison> CompareRuns(const std::vector<RunTable>& tables,
                                          const BootstrapOptions& options);

}  // namespace kvrecall
