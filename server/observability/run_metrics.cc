#include "server/observability/run_metrics.h"

#include <cmath>
#include <initializer_list>

#include "absl/time/time.h"

#include "common/longbench/task.h"

namespace kvrecall {
namespace {

using enum MetricId;

constexpr const char* kPhaseNames[kEnginePhases] = {"prefill", "decode", "gap"};

bool AllFinite(std::initializer_list<double> values) {
  for (double value : values)
    if (!std::isfinite(value)) return false;
  return true;
}

}  // namespace

RunMetrics::RunMetrics(MetricFamilies* families, const LaneLabels& lanes)
    : first_token_(families->Histogram(kTimeToFirstToken)),
      between_tokens_(families->Histogram(kInterTokenLatency)),
      latency_(families->Histogram(kSampleLatency)),
      queue_(families->Histogram(kQueueTime)),
      prefill_(families->Histogram(kPrefillTime)),
      decode_(families->Histogram(kDecodeTime)),
      prompt_length_(families->Histogram(kSamplePromptTokens)),
      generation_length_(families->Histogram(kSampleGenerationTokens)),
      cache_usage_(families->Gauge(kKvCacheUsage)),
      entropy_(families->Histogram(kTokenEntropy)),
      nonfinite_logit_(
          families->Counter(kNonfiniteValues, {{"kind", "logit"}})),
      nonfinite_entropy_(
          families->Counter(kNonfiniteValues, {{"kind", "entropy"}})),
      nonfinite_recall_(
          families->Counter(kNonfiniteValues, {{"kind", "recall"}})),
      nonfinite_gap_(families->Counter(kNonfiniteValues, {{"kind", "gap"}})),
      out_of_memory_(families->Counter(kOutOfMemory)) {
  for (int phase = 0; phase < kEnginePhases; ++phase)
    passes_[phase] =
        &families->Histogram(kEngineStep, {{"phase", kPhaseNames[phase]}});
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

void RunMetrics::AddTasks(MetricFamilies& families) {
  const auto add = [&](const std::string& task) {
    tasks_[task] = {&families.Counter(kPromptTokens, {{"task", task}}),
                    &families.Counter(kGenerationTokens, {{"task", task}})};
  };
  for (const Task& task : AllTasks()) add(std::string(task.name));
  add(kOtherLabel);
}

void RunMetrics::AddRecalls(MetricFamilies& families, const LaneLabel& policy,
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

void RunMetrics::AddGaps(MetricFamilies& families, const LaneLabel& lane) {
  const MetricFamilies::Labels labels = {{"lane", lane.label}};
  gaps_[lane.name] = {&families.Histogram(kGapKl, labels),
                      &families.Histogram(kGapLogprobChange, labels)};
}

void RunMetrics::SetContextWindow(int64_t positions) {
  context_window_ = static_cast<double>(positions);
}

RunMetrics::RunSeries RunMetrics::Resolve(const RunConfig& config) const {
  const auto find = [](const auto& map, const auto& key, const auto& other) {
    const auto it = map.find(key);
    return it == map.end() ? &map.at(other) : &it->second;
  };
  RunSeries series;
  series.config = config;
  series.task = find(tasks_, config.task, kOtherLabel);
  for (const Lane& lane : Lanes(config)) {
    const LaneKey key = {LaneName(config.policies[lane.policy]),
                         LaneName(config.budgets[lane.budget])};
    const bool is_global = config.scopes[lane.scope] == Scope::kGlobal;
    series.recalls.push_back(
        is_global ? find(recalls_, key, LaneKey(kOtherLabel, kOtherLabel))
                  : nullptr);
  }
  for (const GapSpec& gap : config.gaps)
    series.gaps.push_back(find(gaps_, LaneName(gap), kOtherLabel));
  return series;
}

const RunMetrics::RunSeries& RunMetrics::SeriesOf(const RunConfig& config) {
  if (!current_ || current_->config != config) current_ = Resolve(config);
  return *current_;
}

void RunMetrics::OnPass(EnginePhase phase, absl::Duration time) {
  passes_[static_cast<int>(phase)]->Observe(absl::ToDoubleSeconds(time));
}

void RunMetrics::OnSampleStarted(const RunConfig& config,
                                 const SampleStart& start) {
  const auto tokens = static_cast<double>(start.prompt_tokens);
  SeriesOf(config).task->prompt_tokens->Increment(tokens);
  prompt_length_.Observe(tokens);
  queue_.Observe(start.queue_seconds);
}

void RunMetrics::OnStep(const RunConfig& config, const StepRecord& record,
                        absl::Duration latency) {
  const RunSeries& series = SeriesOf(config);
  series.task->generation_tokens->Increment();
  (record.step == 1 ? first_token_ : between_tokens_)
      .Observe(absl::ToDoubleSeconds(latency));
  if (context_window_ > 0)
    cache_usage_.Set(static_cast<double>(record.n) / context_window_);
  // A value that is not finite would spoil a sum for good.
  if (!AllFinite({record.logprob, record.p_max, record.margin}))
    nonfinite_logit_.Increment();
  if (!AllFinite({record.entropy, record.attention_entropy,
                  record.attention_entropy_std}))
    nonfinite_entropy_.Increment();
  if (std::isfinite(record.entropy)) {
    entropy_.Observe(record.entropy);
    entropy_steps_[EntropyBinOf(record.entropy)]->Increment();
  }
  CountRecalls(series, record);
  CountGaps(series, record);
}

void RunMetrics::CountRecalls(const RunSeries& series,
                              const StepRecord& record) {
  bool finite = true;
  const bool has_bin = std::isfinite(record.entropy);
  const int bin = has_bin ? EntropyBinOf(record.entropy) : 0;
  for (size_t i = 0; i < record.recalls.size(); ++i) {
    const RecallRecord& recall = record.recalls[i];
    const double fetched = recall.fetched_back.value_or(0);
    finite &= AllFinite({recall.recall, recall.mass, recall.mass_ratio,
                         recall.lift.value_or(0),
                         recall.recall_without_free_hits.value_or(0),
                         recall.drift.value_or(0), fetched});
    if (i >= series.recalls.size() || series.recalls[i] == nullptr) continue;
    const RecallSeries& lane = *series.recalls[i];
    if (std::isfinite(fetched) && fetched > 0)
      lane.fetched_back->Increment(fetched);
    if (!std::isfinite(recall.recall)) continue;
    lane.recall->Observe(recall.recall);
    if (!has_bin) continue;
    lane.sum[bin]->Increment(recall.recall);
    lane.steps[bin]->Increment();
  }
  if (!finite) nonfinite_recall_.Increment();
}

void RunMetrics::CountGaps(const RunSeries& series, const StepRecord& record) {
  bool finite = true;
  for (size_t i = 0; i < record.gaps.size() && i < series.gaps.size(); ++i) {
    const GapRecord& gap = record.gaps[i];
    finite &= AllFinite({gap.kl, gap.entropy_change, gap.logprob_change});
    if (std::isfinite(gap.kl)) series.gaps[i]->kl->Observe(gap.kl);
    if (std::isfinite(gap.logprob_change))
      series.gaps[i]->logprob_change->Observe(gap.logprob_change);
  }
  if (!finite) nonfinite_gap_.Increment();
}

void RunMetrics::OnSampleFinished(const RunConfig&, const SampleResult& result,
                                  absl::Duration latency) {
  latency_.Observe(absl::ToDoubleSeconds(latency));
  prefill_.Observe(result.prefill_seconds);
  decode_.Observe(result.decode_seconds);
  generation_length_.Observe(static_cast<double>(result.generated_tokens));
}

void RunMetrics::OnSampleFailed(const RunConfig&,
                                const SampleFailure& failure) {
  // The runner stops at such a step before it makes a record of it.
  if (failure.reason == "NONFINITE_LOGITS") nonfinite_logit_.Increment();
  if (failure.reason == "OUT_OF_MEMORY") out_of_memory_.Increment();
}

void RunMetrics::OnIdle() { cache_usage_.Set(0); }

}  // namespace kvrecall
