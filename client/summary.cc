#include "client/summary.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "common/analysis/bins.h"
#include "common/analysis/correlation.h"
#include "common/analysis/mean.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

std::optional<double> MeanOf(double sum, int64_t n) {
  if (n == 0) return std::nullopt;
  return sum / static_cast<double>(n);
}

// The headline's policy and scope, where the run has them.
int FindHeadlinePolicy(const RunConfig& config) {
  const PolicySpec headline{.name = "h2o", .parameters = {}};
  const auto& policies = config.policies;
  const auto found = std::find(policies.begin(), policies.end(), headline);
  return found == policies.end() ? 0
                                 : static_cast<int>(found - policies.begin());
}

int FindHeadlineScope(const RunConfig& config) {
  const auto& scopes = config.scopes;
  const auto found = std::find(scopes.begin(), scopes.end(), Scope::kGlobal);
  return found == scopes.end() ? 0 : static_cast<int>(found - scopes.begin());
}

}  // namespace

SummaryBuilder::SummaryBuilder(RunConfig config)
    : config_(std::move(config)), lanes_(Lanes(config_)) {}

absl::Status SummaryBuilder::Add(const Event& event) {
  ++events_;
  last_sequence_ = std::max(last_sequence_, event.sequence);
  if (std::holds_alternative<RunEnd>(event.body)) return absl::OkStatus();

  const auto [entry, is_new] = samples_.try_emplace(event.sample_id);
  SampleSeries& sample = entry->second;
  if (is_new) order_.push_back(event.sample_id);
  if (event.attempt < sample.attempt) return absl::OkStatus();
  if (event.attempt > sample.attempt) {
    sample = SampleSeries();
    sample.attempt = event.attempt;
    sample.lanes.resize(lanes_.size());
  }
  if (const auto* step = std::get_if<StepRecord>(&event.body)) {
    return AddStep(sample, *step);
  }
  if (const auto* start = std::get_if<SampleStart>(&event.body)) {
    sample.start = *start;
  } else if (const auto* result = std::get_if<SampleResult>(&event.body)) {
    sample.result = *result;
  } else if (const auto* failure = std::get_if<SampleFailure>(&event.body)) {
    sample.failure = *failure;
  }
  return absl::OkStatus();
}

absl::Status SummaryBuilder::AddStep(SampleSeries& sample,
                                     const StepRecord& step) const {
  if (step.recalls.size() != lanes_.size()) {
    return absl::DataLossError(
        absl::StrCat("step ", step.step, " has ", step.recalls.size(),
                     " recalls; the run has ", lanes_.size(),
                     " combinations of policy, scope and budget"));
  }
  sample.entropy.push_back(step.entropy);
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const RecallRecord& recall = step.recalls[i];
    LaneSeries& lane = sample.lanes[i];
    lane.recall.push_back(recall.recall);
    lane.chance += recall.chance;
    lane.mass_ratio += recall.mass_ratio;
    if (recall.lift) {
      lane.lift += *recall.lift;
      ++lane.lifts;
    }
  }
  return absl::OkStatus();
}

std::vector<double> SummaryBuilder::Entropies() const {
  std::vector<double> column;
  for (const std::string& id : order_) {
    const std::vector<double>& entropy = samples_.at(id).entropy;
    column.insert(column.end(), entropy.begin(), entropy.end());
  }
  return column;
}

std::vector<double> SummaryBuilder::Recalls(size_t lane) const {
  std::vector<double> column;
  for (const std::string& id : order_) {
    const SampleSeries& sample = samples_.at(id);
    if (sample.lanes.empty()) continue;
    const std::vector<double>& recall = sample.lanes[lane].recall;
    column.insert(column.end(), recall.begin(), recall.end());
  }
  return column;
}

absl::StatusOr<LaneSummary> SummaryBuilder::SummarizeLane(
    size_t lane, const std::vector<double>& entropies) const {
  double chance = 0;
  double lift = 0;
  double mass_ratio = 0;
  int64_t lifts = 0;
  for (const std::string& id : order_) {
    const SampleSeries& sample = samples_.at(id);
    if (sample.lanes.empty()) continue;
    chance += sample.lanes[lane].chance;
    lift += sample.lanes[lane].lift;
    mass_ratio += sample.lanes[lane].mass_ratio;
    lifts += sample.lanes[lane].lifts;
  }
  const std::vector<double> recalls = Recalls(lane);
  LaneSummary summary;
  summary.lane = lanes_[lane];
  summary.steps = static_cast<int64_t>(recalls.size());
  ASSIGN_OR_RETURN(summary.recall, Mean(recalls));
  summary.chance = MeanOf(chance, summary.steps);
  summary.lift = MeanOf(lift, lifts);
  summary.mass_ratio = MeanOf(mass_ratio, summary.steps);
  ASSIGN_OR_RETURN(const Correlation correlation, Pearson(entropies, recalls));
  summary.pearson = correlation.r;
  summary.pearson_n = correlation.n;
  return summary;
}

absl::StatusOr<std::vector<BinSummary>> SummaryBuilder::SummarizeBins(
    int policy, int scope, const std::vector<double>& entropies) const {
  std::vector<int64_t> owners;  // which sample a step belongs to
  for (size_t i = 0; i < order_.size(); ++i) {
    owners.insert(owners.end(), samples_.at(order_[i]).entropy.size(),
                  static_cast<int64_t>(i));
  }
  std::vector<BinSummary> bins;
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    if (lanes_[lane].policy != policy || lanes_[lane].scope != scope) continue;
    ASSIGN_OR_RETURN(
        const BinTable table,
        MeanByBin(entropies, Recalls(lane), owners, DefaultEntropyEdges()));
    bins.resize(table.bins.size());
    for (size_t b = 0; b < bins.size(); ++b) {
      bins[b].low = table.bins[b].low;
      bins[b].high = table.bins[b].high;
      bins[b].steps = table.bins[b].n;
      bins[b].samples = table.bins[b].samples;
      bins[b].recall.push_back(table.bins[b].mean);
    }
  }
  return bins;
}

absl::StatusOr<RunSummary> SummaryBuilder::Summarize() const {
  RunSummary summary;
  summary.config = config_;
  double score = 0;
  for (const std::string& id : order_) {
    const SampleSeries& sample = samples_.at(id);
    summary.steps += static_cast<int64_t>(sample.entropy.size());
    if (sample.start) summary.prompt_tokens += sample.start->prompt_tokens;
    if (sample.result) {
      ++summary.samples_done;
      summary.generated_tokens += sample.result->generated_tokens;
      if (sample.result->score) {
        score += *sample.result->score;
        ++summary.scored_samples;
      }
    } else if (sample.failure) {
      ++summary.samples_failed;
      summary.problems.push_back(
          {id, sample.failure->reason, sample.failure->message});
    } else {
      ++summary.samples_unfinished;
    }
  }
  summary.score = MeanOf(score, summary.scored_samples);

  const std::vector<double> entropies = Entropies();
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    ASSIGN_OR_RETURN(LaneSummary row, SummarizeLane(lane, entropies));
    summary.lanes.push_back(std::move(row));
  }
  summary.bins_policy = FindHeadlinePolicy(config_);
  summary.bins_scope = FindHeadlineScope(config_);
  ASSIGN_OR_RETURN(summary.bins, SummarizeBins(summary.bins_policy,
                                               summary.bins_scope, entropies));
  return summary;
}

}  // namespace kvrecall
