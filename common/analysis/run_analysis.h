#pragma once

// Everything that is said of a run: common/METRICS.md, "Analysis". Every
// interval and p is of a bootstrap over samples. Thread-safe: no shared state;
// AnalyzeRun starts threads of its own and is deterministic by the seed.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/analysis/exemplars.h"
#include "common/analysis/resamples.h"
#include "common/analysis/run_table.h"
#include "common/analysis/trigger.h"
#include "common/analysis/verdict.h"

namespace kvrecall {

struct AnalysisOptions {
  BootstrapOptions bootstrap;
  // Of the entropy bins, in nats, ascending; empty: DefaultEntropyEdges().
  std::vector<double> edges;
  int quantile_bins =
      0;             // > 0: so many bins of as many steps, in place of edges
  double tau = 0.5;  // the event of a trigger is recall < tau
  int exemplars = 10;
};

// A mean with its interval. Empty: not defined.
struct Estimate {
  std::optional<double> value = {};
  std::optional<Interval> interval = {};
  std::optional<double> p = {};  // of a difference from 0; bootstrap
};

struct CorrelationEstimate {
  std::optional<double> r = {};
  int64_t n = 0;  // pairs
  std::optional<Interval> interval = {};
  std::optional<double> p = {};        // bootstrap
  std::optional<double> naive_p = {};  // as if steps were independent
};

struct BinEstimate {
  double low = 0, high = 0;  // of the key: [low, high)
  int64_t steps = 0;
  int64_t samples = 0;
  Estimate mean;
};

struct TriggerEstimate {
  Signal signal = Signal::kEntropy;
  int64_t steps = 0;
  int64_t events = 0;
  // The area under the ROC curve; intervals for the headline's lanes only.
  Estimate area;
};

// Entropy and what comes one step later, inside a sample.
struct LagEstimate {
  CorrelationEstimate pooled, within;
};

struct LaneAnalysis {
  Lane lane;
  int64_t steps = 0;
  Estimate recall;        // mean
  Estimate fetched_back;  // mean, positions per step
  // Of entropy with recall.
  CorrelationEstimate pearson, spearman, within_pearson, within_spearman;
  CorrelationEstimate partial;  // given ln N and t
  Estimate slope;               // recall per nat
  std::vector<BinEstimate> bins;
  LagEstimate next_recall;
  std::vector<TriggerEstimate> triggers;
  // A sample's mean recall with its score: Pearson, over scored samples.
  CorrelationEstimate score;
};

// Pearson at the smaller budget less that at the larger one.
struct Sensitivity {
  int smaller = 0, larger = 0;  // lanes
  Estimate difference;
};

struct GapAnalysis {
  int gap = 0;  // into config.gaps
  Estimate kl, entropy_change, logprob_change;
  CorrelationEstimate entropy_with_kl, entropy_with_kl_ranks;  // Spearman
  CorrelationEstimate within;                                  // Pearson
  std::vector<BinEstimate> kl_by_entropy, logprob_by_entropy;
  // By the recall of the lane's own policy; of h2o's where it has none. Empty
  // where the run has no such lane.
  std::vector<BinEstimate> kl_by_recall, logprob_by_recall;
};

struct RunAnalysis {
  int64_t samples = 0;  // with steps
  int64_t unfinished = 0;
  int64_t steps = 0;
  BootstrapOptions bootstrap;
  double tau = 0;
  std::vector<LaneAnalysis> lanes;  // in the order of Lanes(config)
  // `h2o` in scope `global`, or else the run's first policy and the first scope
  // that it is defined in: its lanes, by budget, the smallest first.
  std::vector<int> headline;
  std::vector<Sensitivity> sensitivities;
  std::vector<GapAnalysis> gaps;
  LagEstimate next_attention_entropy;
  Verdict verdict;
  std::vector<std::string> warnings;
  std::vector<Exemplar> exemplars;
};

// INVALID_ARGUMENT: options that make no sense, named. FAILED_PRECONDITION: no
// step at all.
absl::StatusOr<RunAnalysis> AnalyzeRun(const RunTable& table,
                                       const AnalysisOptions& options);

}  // namespace kvrecall
