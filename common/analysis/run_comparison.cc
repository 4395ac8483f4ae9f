#include "common/analysis/run_comparison.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/analysis/correlation.h"
#include "common/analysis/mean.h"
#include "common/analysis/replicates.h"
#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

std::set<std::string> SharedSamples(const std::vector<RunTable>& tables) {
  std::set<std::string> shared;
  for (const TableSample& sample : tables.front().samples)
    shared.insert(sample.id);
  for (const RunTable& table : tables) {
    std::set<std::string> there;
    for (const TableSample& sample : table.samples)
      if (shared.contains(sample.id)) there.insert(sample.id);
    shared = std::move(there);
  }
  return shared;
}

// One run as the comparison sees it: some of its samples, and their draws.
struct Side {
  const RunTable* table = nullptr;
  std::vector<size_t> samples;  // into table->samples
  std::vector<int64_t> first = {0};
  const Resamples* resamples = nullptr;

  std::vector<double> Pick(const std::vector<double>& column) const {
    std::vector<double> picked;
    for (const size_t s : samples)
      picked.insert(picked.end(), column.begin() + table->first[s],
                    column.begin() + table->first[s + 1]);
    return picked;
  }
};

// A run's figure with its draws.
struct Drawn {
  std::optional<double> value;
  Replicates replicates;
};

Drawn DrawMean(const Side& side, const std::vector<int64_t>& first,
               const std::vector<double>& values) {
  if (values.empty()) return {};
  const std::vector<int> all(values.size(), 0);
  return {*Mean(values),
          ReplicateBinMeans(*side.resamples, first, all, 1, values)[0]};
}

ComparedFigure Compared(const std::vector<Side>& sides,
                        const std::vector<Drawn>& drawn) {
  ComparedFigure figure;
  for (size_t i = 0; i < drawn.size(); ++i) {
    Estimate& value = figure.values.emplace_back();
    Estimate& difference = figure.differences.emplace_back();
    if (!drawn[i].value) continue;
    const Resamples& resamples = *sides[i].resamples;
    value.value = drawn[i].value;
    value.interval = PercentileInterval(resamples, drawn[i].replicates);
    if (i == 0 || !drawn[0].value) continue;
    difference.value = *drawn[i].value - *drawn[0].value;
    // One sample on either side leaves no spread to judge by.
    if (sides[0].samples.size() < 2) continue;
    const Replicates differences =
        Difference(drawn[i].replicates, drawn[0].replicates);
    difference.interval = PercentileInterval(resamples, differences);
    difference.p = BootstrapP(resamples, differences);
  }
  return figure;
}

ComparedFigure CompareScores(const std::vector<Side>& sides) {
  std::vector<Drawn> drawn;
  for (const Side& side : sides) {
    std::vector<int64_t> first = {0};
    std::vector<double> scores;
    for (const size_t s : side.samples) {
      if (side.table->samples[s].score)
        scores.push_back(*side.table->samples[s].score);
      first.push_back(std::ssize(scores));
    }
    drawn.push_back(DrawMean(side, first, scores));
  }
  return Compared(sides, drawn);
}

ComparedFigure CompareEntropies(const std::vector<Side>& sides) {
  std::vector<Drawn> drawn;
  for (const Side& side : sides)
    drawn.push_back(DrawMean(side, side.first, side.Pick(side.table->entropy)));
  return Compared(sides, drawn);
}

// The lane of this policy, scope and budget; −1: there is none.
int FindLane(const RunTable& table, const PolicySpec& policy, Scope scope,
             const Budget& budget) {
  const RunConfig& config = table.config;
  for (size_t i = 0; i < table.lanes.size(); ++i) {
    const Lane& lane = table.lanes[i];
    const auto there =
        CompletePolicySpec(config.policies[static_cast<size_t>(lane.policy)]);
    if (there.ok() && *there == policy &&
        config.scopes[static_cast<size_t>(lane.scope)] == scope &&
        config.budgets[static_cast<size_t>(lane.budget)] == budget)
      return static_cast<int>(i);
  }
  return -1;
}

absl::StatusOr<LaneComparison> CompareLane(const std::vector<Side>& sides,
                                           const std::vector<int>& lanes) {
  const RunConfig& config = sides.front().table->config;
  const Lane& lane =
      sides.front().table->lanes[static_cast<size_t>(lanes.front())];
  LaneComparison comparison;
  comparison.policy =
      config.policies[static_cast<size_t>(lane.policy)].ToString();
  comparison.scope = config.scopes[static_cast<size_t>(lane.scope)];
  comparison.budget = config.budgets[static_cast<size_t>(lane.budget)];
  std::vector<Drawn> recalls, pearsons;
  for (size_t i = 0; i < sides.size(); ++i) {
    const Side& side = sides[i];
    const std::vector<double> entropy = side.Pick(side.table->entropy);
    const std::vector<double> recall =
        side.Pick(side.table->columns[static_cast<size_t>(lanes[i])].recall);
    recalls.push_back(DrawMean(side, side.first, recall));
    ASSIGN_OR_RETURN(const Correlation pearson, Pearson(entropy, recall));
    pearsons.push_back({pearson.r, ReplicateMoments(*side.resamples, side.first,
                                                    entropy, recall, {})
                                       .pearson});
  }
  comparison.recall = Compared(sides, recalls);
  comparison.pearson = Compared(sides, pearsons);
  return comparison;
}

absl::Status CheckTables(const std::vector<RunTable>& tables) {
  if (tables.size() < 2)
    return absl::InvalidArgumentError("a comparison needs two runs");
  for (size_t i = 0; i < tables.size(); ++i)
    if (tables[i].steps() == 0)
      return absl::FailedPreconditionError(
          absl::StrCat("run ", i + 1, " of the comparison has no steps yet"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunComparison> CompareRuns(const std::vector<RunTable>& tables,
                                          const BootstrapOptions& options) {
  RETURN_IF_ERROR(CheckTables(tables));
  RETURN_IF_ERROR(CheckBootstrap(options));
  const std::set<std::string> shared = SharedSamples(tables);
  RunComparison comparison;
  comparison.bootstrap = options;
  comparison.shared_samples = std::ssize(shared);
  comparison.paired = shared.size() >= 2;

  std::vector<Side> sides(tables.size());
  for (size_t i = 0; i < tables.size(); ++i) {
    sides[i].table = &tables[i];
    for (size_t s = 0; s < tables[i].samples.size(); ++s) {
      if (comparison.paired && !shared.contains(tables[i].samples[s].id))
        continue;
      sides[i].samples.push_back(s);
      sides[i].first.push_back(sides[i].first.back() + tables[i].first[s + 1] -
                               tables[i].first[s]);
    }
  }
  // Paired: one set of draws for all. Else each its own, by another seed.
  std::vector<Resamples> draws;
  draws.reserve(tables.size());
  for (size_t i = 0; i < tables.size(); ++i) {
    BootstrapOptions own = options;
    if (!comparison.paired) own.seed += i;
    draws.emplace_back(std::ssize(sides[i].samples), own);
    sides[i].resamples = &draws.back();
  }

  comparison.entropy = CompareEntropies(sides);
  comparison.score = CompareScores(sides);
  const RunTable& one = tables.front();
  for (size_t i = 0; i < one.lanes.size(); ++i) {
    const Lane& lane = one.lanes[i];
    ASSIGN_OR_RETURN(
        const PolicySpec policy,
        CompletePolicySpec(
            one.config.policies[static_cast<size_t>(lane.policy)]));
    std::vector<int> lanes;
    for (const RunTable& table : tables)
      lanes.push_back(FindLane(
          table, policy, one.config.scopes[static_cast<size_t>(lane.scope)],
          one.config.budgets[static_cast<size_t>(lane.budget)]));
    if (std::find(lanes.begin(), lanes.end(), -1) != lanes.end()) continue;
    ASSIGN_OR_RETURN(LaneComparison compared, CompareLane(sides, lanes));
    comparison.lanes.push_back(std::move(compared));
  }
  if (comparison.lanes.empty())
    return absl::FailedPreconditionError(
        "the runs share no combination of policy, scope and budget");
  return comparison;
}

}  // namespace kvrecall
