#include "server/observability/record_metrics.h"

#include <variant>

#include "common/longbench/task.h"
#include "common/record/finite.h"
#include "server/observability/histogram_batch.h"

namespace kvrecall {
namespace {

using enum MetricId;

}  // namespace

RecordMetrics::RecordMetrics(MetricFamilies* families, const LaneLabels& lanes)
    : queue_(families->Histogram(kQueueTime)),
      prefill_(families->Histogram(kPrefillTime)),
      decode_(families->Histogram(kDecodeTime)),
      prompt_length_(families->Histogram(kSamplePromptTokens)),
      generation_length_(families->Histogram(kSampleGenerationTokens)),
      entropy_(families->Histogram(kTokenEntropy)),
      nonfinite_entropy_(
          families->Counter(kNonfiniteValues, {{"kind", "entropy"}})),
      nonfinite_logit_(
          families->Counter(kNonfiniteValues, {{"kind", "logit"}})),
      nonfinite_recall_(
          families->Counter(kNonfiniteValues, {{"kind", "recall"}})),
      nonfinite_gap_(families->Counter(kNonfiniteValues, {{"kind", "gap"}})) {
  for (int bin = 0; bin < kEntropyBins; ++bin)
    entropy_steps_[bin] = &families->Counter(
        kEntropySteps, {{"entropy_bin", EntropyBins()[bin].label}});
  AddTasks(*families);
  const LaneLabel other = {kOtherLabel, kOtherLabel};
  for (const LaneLabel& policy : lanes.policies)
    for (const LaneLabel& budget : lanes.budgets)
      AddRecalls(*families, policy, budget);
  AddRecalls(*families, other, other);
  for (const LaneLabel& lane : lanes.gaps) AddGaps(*families, lane);
  AddGaps(*families, other);
}

void RecordMetrics::AddTasks(MetricFamilies& families) {
  const auto add = [&](const std::string& task) {
    tasks_[task] = {&families.Counter(kPromptTokens, {{"task", task}}),
                    &families.Counter(kGenerationTokens, {{"task", task}})};
  };
  for (const Task& task : AllTasks()) add(std::string(task.name));
  add(kOtherLabel);
}

void RecordMetrics::AddRecalls(MetricFamilies& families,
                               const LaneLabel& policy,
                               const LaneLabel& budget) {
  MetricFamilies::Labels labels = {{"policy", policy.label},
                                   {"budget", budget.label}};
  RecallSeries& series = recalls_[{policy.name, budget.name}];
  series.recall = &families.Histogram(kRecallRatio, labels);
  series.fetched_back = &families.Counter(kPositionsFetchedBack, labels);
  for (int bin = 0; bin < kEntropyBins; ++bin) {
    labels["entropy_bin"] = EntropyBins()[bin].label;
    series.sum[bin] = &families.Counter(kRecallSum, labels);
    series.steps[bin] = &families.Counter(kRecallSteps, labels);
  }
}

void RecordMetrics::AddGaps(MetricFamilies& families, const LaneLabel& lane) {
  const MetricFamilies::Labels labels = {{"lane", lane.label}};
  gaps_[lane.name] = {&families.Histogram(kGapKl, labels),
                      &families.Histogram(kGapLogprobChange, labels)};
}

RecordMetrics::RunSeries RecordMetrics::Resolve(
    std::shared_ptr<const RunConfig> config) const {
  const auto find = [](const auto& map, const auto& key, const auto& other) {
    const auto it = map.find(key);
    return it == map.end() ? &map.at(other) : &it->second;
  };
  RunSeries series;
  series.task = find(tasks_, config->task, kOtherLabel);
  const std::vector<Lane> lanes = Lanes(*config);
  for (size_t i = 0; i < lanes.size(); ++i) {
    if (config->scopes[lanes[i].scope] != Scope::kGlobal) continue;
    const LaneKey key = {LaneName(config->policies[lanes[i].policy]),
                         LaneName(config->budgets[lanes[i].budget])};
    series.recalls.emplace_back(
        i, find(recalls_, key, LaneKey(kOtherLabel, kOtherLabel)));
  }
  for (const GapSpec& gap : config->gaps)
    series.gaps.push_back(find(gaps_, LaneName(gap), kOtherLabel));
  series.config = std::move(config);
  return series;
}

void RecordMetrics::SwitchTo(const std::shared_ptr<const RunConfig>& config) {
  if (current_.config == config) return;
  // Each sample has an object of its own, most often with the same in it.
  if (current_.config != nullptr && *current_.config == *config)
    current_.config = config;
  else
    current_ = Resolve(config);
}

void RecordMetrics::OnCommitted(std::span<const AppendedEvents> appended) {
  // Steps come one by one; those of a run that follow each other are counted
  // together, which takes each series' lock and lines once.
  std::vector<const StepRecord*> steps;
  for (const AppendedEvents& batch : appended) {
    if (batch.events == nullptr || batch.config == nullptr) continue;
    if (batch.config != current_.config) {
      CountSteps(steps);
      steps.clear();
      SwitchTo(batch.config);
    }
    for (const Event& event : *batch.events) {
      if (const auto* step = std::get_if<StepRecord>(&event.body))
        steps.push_back(step);
      else if (const auto* start = std::get_if<SampleStart>(&event.body))
        Count(*start);
      else if (const auto* result = std::get_if<SampleResult>(&event.body))
        Count(*result);
    }
  }
  CountSteps(steps);
}

void RecordMetrics::Count(const SampleStart& start) {
  const auto tokens = static_cast<double>(start.prompt_tokens);
  current_.task->prompt_tokens->Increment(tokens);
  prompt_length_.Observe(tokens);
  queue_.Observe(start.queue_seconds);
}

void RecordMetrics::Count(const SampleResult& result) {
  prefill_.Observe(result.prefill_seconds);
  decode_.Observe(result.decode_seconds);
  generation_length_.Observe(static_cast<double>(result.generated_tokens));
}

void RecordMetrics::CountSteps(std::span<const StepRecord* const> steps) {
  if (steps.empty()) return;
  current_.task->generation_tokens->Increment(
      static_cast<double>(steps.size()));
  std::array<double, kEntropyBins> counts = {};
  {
    HistogramBatch entropy(&entropy_, SpecOf(kTokenEntropy).buckets);
    for (const StepRecord* step : steps) {
      entropy.Add(step->entropy);
      counts[EntropyBinOf(step->entropy)] += 1;
    }
  }
  for (int bin = 0; bin < kEntropyBins; ++bin)
    if (counts[bin] > 0) entropy_steps_[bin]->Increment(counts[bin]);
  for (const auto& [lane, series] : current_.recalls)
    CountRecalls(steps, lane, *series);
  for (size_t i = 0; i < current_.gaps.size(); ++i)
    CountGaps(steps, i, *current_.gaps[i]);
}

void RecordMetrics::CountRecalls(std::span<const StepRecord* const> steps,
                                 size_t lane, const RecallSeries& series) {
  HistogramBatch ratios(series.recall, SpecOf(kRecallRatio).buckets);
  std::array<double, kEntropyBins> sums = {}, counts = {};
  double fetched_back = 0;
  for (const StepRecord* step : steps) {
    const RecallRecord& recall = step->recalls[lane];
    ratios.Add(recall.recall);
    const int bin = EntropyBinOf(step->entropy);
    sums[bin] += recall.recall;
    counts[bin] += 1;
    fetched_back += recall.fetched_back.value_or(0);
  }
  for (int bin = 0; bin < kEntropyBins; ++bin) {
    if (counts[bin] == 0) continue;
    series.sum[bin]->Increment(sums[bin]);
    series.steps[bin]->Increment(counts[bin]);
  }
  if (fetched_back > 0) series.fetched_back->Increment(fetched_back);
}

void RecordMetrics::CountGaps(std::span<const StepRecord* const> steps,
                              size_t lane, const GapSeries& series) {
  HistogramBatch kl(series.kl, SpecOf(kGapKl).buckets);
  HistogramBatch change(series.logprob_change,
                        SpecOf(kGapLogprobChange).buckets);
  for (const StepRecord* step : steps) {
    kl.Add(step->gaps[lane].kl);
    change.Add(step->gaps[lane].logprob_change);
  }
}

void RecordMetrics::OnRefused(const std::vector<Event>& events) {
  for (const Event& event : events) {
    const auto* step = std::get_if<StepRecord>(&event.body);
    if (step == nullptr) continue;
    if (!LogitsAreFinite(*step)) nonfinite_logit_.Increment();
    if (!EntropiesAreFinite(*step)) nonfinite_entropy_.Increment();
    if (!RecallsAreFinite(*step)) nonfinite_recall_.Increment();
    if (!GapsAreFinite(*step)) nonfinite_gap_.Increment();
  }
}

}  // namespace kvrecall
