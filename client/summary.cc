#include "client/summary.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "common/analysis/bins.h"
#include "common/analysis/correlation.h"
#include "common/analysis/mean.h"
#include "common/base/status_macros.h"
#include "common/longbench/task.h"
#include "common/record/headline.h"

namespace kvrecall {

void SummaryBuilder::Sum::Add(std::optional<double> value) {
  if (!value) return;
  sum += *value;
  ++n;
}

void SummaryBuilder::Sum::Add(const Sum& other) {
  sum += other.sum;
  n += other.n;
}

std::optional<double> SummaryBuilder::Sum::Mean() const {
  if (n == 0) return std::nullopt;
  return sum / static_cast<double>(n);
}

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
    sample.gaps.resize(config_.gaps.size());
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

void SummaryBuilder::Append(SummaryBuilder other) {
  samples_.merge(other.samples_);
  order_.insert(order_.end(), other.order_.begin(), other.order_.end());
  events_ += other.events_;
  last_sequence_ = std::max(last_sequence_, other.last_sequence_);
}

absl::Status SummaryBuilder::AddStep(SampleSeries& sample,
                                     const StepRecord& step) const {
  if (step.recalls.size() != lanes_.size()) {
    return absl::DataLossError(
        absl::StrCat("step ", step.step, " has ", step.recalls.size(),
                     " recalls; the run has ", lanes_.size(),
                     " combinations of policy, scope and budget"));
  }
  if (step.gaps.size() != config_.gaps.size()) {
    return absl::DataLossError(
        absl::StrCat("step ", step.step, " has ", step.gaps.size(),
                     " gaps; the run has ", config_.gaps.size(), " gap lanes"));
  }
  sample.entropy.push_back(step.entropy);
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const RecallRecord& recall = step.recalls[i];
    LaneSeries& lane = sample.lanes[i];
    lane.recall.push_back(recall.recall);
    lane.chance.Add(recall.chance);
    lane.lift.Add(recall.lift);
    lane.mass.Add(recall.mass);
    lane.mass_ratio.Add(recall.mass_ratio);
    lane.recall_without_free_hits.Add(recall.recall_without_free_hits);
    lane.drift.Add(recall.drift);
    lane.fetched_back.Add(recall.fetched_back);
  }
  for (size_t i = 0; i < step.gaps.size(); ++i) {
    const GapRecord& gap = step.gaps[i];
    GapSeries& series = sample.gaps[i];
    series.kl.Add(gap.kl);
    series.entropy_change.Add(gap.entropy_change);
    series.logprob_change.Add(gap.logprob_change);
    series.top1_agreement.Add(gap.top1_agrees ? 1 : 0);
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
  LaneSeries all;
  for (const std::string& id : order_) {
    const SampleSeries& sample = samples_.at(id);
    if (sample.lanes.empty()) continue;
    const LaneSeries& part = sample.lanes[lane];
    for (Sum LaneSeries::*sum :
         {&LaneSeries::chance, &LaneSeries::lift, &LaneSeries::mass,
          &LaneSeries::mass_ratio, &LaneSeries::recall_without_free_hits,
          &LaneSeries::drift, &LaneSeries::fetched_back}) {
      (all.*sum).Add(part.*sum);
    }
  }
  const std::vector<double> recalls = Recalls(lane);
  LaneSummary summary;
  summary.lane = lanes_[lane];
  summary.steps = static_cast<int64_t>(recalls.size());
  ASSIGN_OR_RETURN(summary.recall, Mean(recalls));
  summary.chance = all.chance.Mean();
  summary.lift = all.lift.Mean();
  summary.mass = all.mass.Mean();
  summary.mass_ratio = all.mass_ratio.Mean();
  summary.recall_without_free_hits = all.recall_without_free_hits.Mean();
  summary.drift = all.drift.Mean();
  summary.fetched_back = all.fetched_back.Mean();
  ASSIGN_OR_RETURN(const Correlation correlation, Pearson(entropies, recalls));
  summary.pearson = correlation.r;
  summary.pearson_n = correlation.n;
  return summary;
}

GapSummary SummaryBuilder::SummarizeGap(size_t gap) const {
  GapSeries all;
  Sum score;
  for (const std::string& id : order_) {
    const SampleSeries& sample = samples_.at(id);
    if (sample.gaps.empty()) continue;
    const GapSeries& part = sample.gaps[gap];
    for (Sum GapSeries::*sum :
         {&GapSeries::kl, &GapSeries::entropy_change,
          &GapSeries::logprob_change, &GapSeries::top1_agreement}) {
      (all.*sum).Add(part.*sum);
    }
    if (sample.result && gap < sample.result->gap_scores.size()) {
      score.Add(sample.result->gap_scores[gap]);
    }
  }
  return {.steps = all.kl.n,
          .kl = all.kl.Mean(),
          .entropy_change = all.entropy_change.Mean(),
          .logprob_change = all.logprob_change.Mean(),
          .top1_agreement = all.top1_agreement.Mean(),
          .score = score.Mean(),
          .scored_samples = score.n};
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

std::vector<LengthScore> SummaryBuilder::ScoreByLength() const {
  const absl::StatusOr<const Task*> task = FindTask(config_.task);
  if (!task.ok() || !(*task)->is_longbench_e) return {};
  // The groups of LongBench's eval.py, by words.
  struct Group {
    const char* words;
    int64_t below;
    Sum score;
  } groups[] = {{"0-4k", 4000, {}}, {"4-8k", 8000, {}}, {"8k+", INT64_MAX, {}}};
  for (const auto& [id, sample] : samples_) {
    if (!sample.result || !sample.start || sample.start->length == 0) continue;
    // What no other takes is of the last.
    std::find_if(
        std::begin(groups), std::end(groups) - 1,
        [&](const Group& group) { return sample.start->length < group.below; })
        ->score.Add(sample.result->score);
  }
  std::vector<LengthScore> scores;
  for (const Group& group : groups)
    scores.push_back({group.words, group.score.Mean(), group.score.n});
  return scores;
}

absl::StatusOr<RunSummary> SummaryBuilder::Summarize() const {
  RunSummary summary;
  summary.config = config_;
  Sum score;
  for (const std::string& id : order_) {
    const SampleSeries& sample = samples_.at(id);
    summary.steps += static_cast<int64_t>(sample.entropy.size());
    if (sample.start) summary.prompt_tokens += sample.start->prompt_tokens;
    if (sample.result) {
      ++summary.samples_done;
      if (sample.start && !sample.start->reused_from.empty())
        ++summary.samples_reused;
      summary.generated_tokens += sample.result->generated_tokens;
      score.Add(sample.result->score);
    } else if (sample.failure) {
      ++summary.samples_failed;
      summary.problems.push_back(
          {id, sample.failure->reason, sample.failure->message});
    } else {
      ++summary.samples_unfinished;
    }
  }
  summary.score = score.Mean();
  summary.scored_samples = score.n;
  summary.score_by_length = ScoreByLength();

  const std::vector<double> entropies = Entropies();
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    ASSIGN_OR_RETURN(LaneSummary row, SummarizeLane(lane, entropies));
    summary.lanes.push_back(std::move(row));
  }
  for (size_t gap = 0; gap < config_.gaps.size(); ++gap) {
    summary.gaps.push_back(SummarizeGap(gap));
  }
  const Headline headline = HeadlineOf(config_);
  summary.bins_policy = headline.policy;
  summary.bins_scope = headline.scope;
  ASSIGN_OR_RETURN(summary.bins, SummarizeBins(summary.bins_policy,
                                               summary.bins_scope, entropies));
  return summary;
}

}  // namespace kvrecall
