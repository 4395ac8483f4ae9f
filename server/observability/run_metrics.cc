#include "server/observability/run_metrics.h"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "absl/time/time.h"

#include "common/longbench/task.h"
#include "server/observability/histogram_batch.h"

namespace kvrecall {
namespace {

using enum MetricId;

// Of the work that notes are of; passes and their steps both count, so that it
// is half of that while decoding. What is seen is so late, and by what the
// engine does meanwhile.
constexpr absl::Duration kCountAfter = absl::Milliseconds(100);
constexpr int kMostNotes = 128;  // passes and steps

constexpr const char* kPhaseNames[kEnginePhases] = {"prefill", "decode", "gap"};

// In place of a value.
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

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
  current_ = Resolve({});
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
  const std::vector<Lane> lanes = Lanes(config);
  for (size_t i = 0; i < lanes.size(); ++i) {
    if (config.scopes[lanes[i].scope] != Scope::kGlobal) continue;
    const LaneKey key = {LaneName(config.policies[lanes[i].policy]),
                         LaneName(config.budgets[lanes[i].budget])};
    series.recalls.push_back(
        {i, find(recalls_, key, LaneKey(kOtherLabel, kOtherLabel))});
  }
  for (const GapSpec& gap : config.gaps)
    series.gaps.push_back(find(gaps_, LaneName(gap), kOtherLabel));
  return series;
}

void RunMetrics::OnPass(EnginePhase phase, absl::Duration time) {
  notes_.passes[static_cast<int>(phase)].push_back(absl::ToDoubleSeconds(time));
  ++notes_.passes_and_steps;
  notes_.time += time;
  // Its step follows, on a GPU after the next pass has begun.
  if (phase != EnginePhase::kDecode) CountIfDue();
}

void RunMetrics::OnSampleStarted(const RunConfig& config,
                                 const SampleStart& start) {
  if (current_.config != config) {
    CountNotes();
    current_ = Resolve(config);
  }
  const auto tokens = static_cast<double>(start.prompt_tokens);
  current_.task->prompt_tokens->Increment(tokens);
  prompt_length_.Observe(tokens);
  queue_.Observe(start.queue_seconds);
}

void RunMetrics::OnStep(const StepRecord& record, absl::Duration latency) {
  const double seconds = absl::ToDoubleSeconds(latency);
  if (record.step == 1) {
    first_token_.Observe(seconds);
  } else {
    notes_.between_tokens.push_back(seconds);
  }
  if (!AllFinite({record.logprob, record.p_max, record.margin}))
    nonfinite_logit_.Increment();
  if (!AllFinite({record.entropy, record.attention_entropy,
                  record.attention_entropy_std}))
    nonfinite_entropy_.Increment();
  notes_.entropies.push_back(record.entropy);
  notes_.positions = record.n;
  NoteRecalls(record);
  NoteGaps(record);
  ++notes_.passes_and_steps;
  notes_.time += latency;
  CountIfDue();
}

void RunMetrics::NoteRecalls(const StepRecord& record) {
  bool finite = true;
  for (const RecallRecord& recall : record.recalls)
    finite &= AllFinite(
        {recall.recall, recall.mass, recall.mass_ratio, recall.lift.value_or(0),
         recall.recall_without_free_hits.value_or(0), recall.drift.value_or(0),
         recall.fetched_back.value_or(0)});
  if (!finite) nonfinite_recall_.Increment();
  for (LaneSeries& lane : current_.recalls) {
    if (lane.lane >= record.recalls.size()) {
      notes_.recalls.push_back(kNone);
      continue;
    }
    const RecallRecord& recall = record.recalls[lane.lane];
    notes_.recalls.push_back(recall.recall);
    const double fetched = recall.fetched_back.value_or(0);
    if (std::isfinite(fetched)) lane.fetched_back += fetched;
  }
}

void RunMetrics::NoteGaps(const StepRecord& record) {
  bool finite = true;
  for (size_t i = 0; i < current_.gaps.size(); ++i) {
    const bool is_there = i < record.gaps.size();
    notes_.gap_kls.push_back(is_there ? record.gaps[i].kl : kNone);
    notes_.gap_changes.push_back(is_there ? record.gaps[i].logprob_change
                                          : kNone);
  }
  for (const GapRecord& gap : record.gaps)
    finite &= AllFinite({gap.kl, gap.entropy_change, gap.logprob_change});
  if (!finite) nonfinite_gap_.Increment();
}

void RunMetrics::Notes::Clear() {
  passes_and_steps = 0;
  time = absl::ZeroDuration();
  for (std::vector<double>& times : passes) times.clear();
  for (std::vector<double>* values :
       {&between_tokens, &entropies, &recalls, &gap_kls, &gap_changes})
    values->clear();
}

void RunMetrics::CountIfDue() {
  if (notes_.time >= kCountAfter || notes_.passes_and_steps >= kMostNotes)
    CountNotes();
}

void RunMetrics::CountNotes() {
  if (notes_.passes_and_steps == 0) return;
  const auto count = [](prometheus::Histogram* histogram, MetricId id,
                        const std::vector<double>& values) {
    HistogramBatch batch(histogram, SpecOf(id).buckets);
    for (const double value : values) batch.Add(value);
  };
  for (int phase = 0; phase < kEnginePhases; ++phase)
    count(passes_[phase], kEngineStep, notes_.passes[phase]);
  count(&between_tokens_, kInterTokenLatency, notes_.between_tokens);
  count(&entropy_, kTokenEntropy, notes_.entropies);

  const size_t steps = notes_.entropies.size();
  if (steps > 0) {
    current_.task->generation_tokens->Increment(static_cast<double>(steps));
    if (context_window_ > 0)
      cache_usage_.Set(static_cast<double>(notes_.positions) / context_window_);
  }
  for (const double entropy : notes_.entropies)
    if (std::isfinite(entropy))
      entropy_steps_[EntropyBinOf(entropy)]->Increment();
  for (size_t i = 0; i < current_.recalls.size(); ++i) CountLane(i);
  const size_t gaps = current_.gaps.size();
  for (size_t i = 0; i < gaps; ++i) {
    HistogramBatch kl(current_.gaps[i]->kl, SpecOf(kGapKl).buckets);
    HistogramBatch change(current_.gaps[i]->logprob_change,
                          SpecOf(kGapLogprobChange).buckets);
    for (size_t step = 0; step < steps; ++step) {
      kl.Add(notes_.gap_kls[step * gaps + i]);
      change.Add(notes_.gap_changes[step * gaps + i]);
    }
  }
  notes_.Clear();
}

void RunMetrics::CountLane(size_t place) {
  LaneSeries& lane = current_.recalls[place];
  if (lane.fetched_back > 0)
    lane.series->fetched_back->Increment(lane.fetched_back);
  lane.fetched_back = 0;
  HistogramBatch ratios(lane.series->recall, SpecOf(kRecallRatio).buckets);
  std::array<double, kEntropyBins> sums = {}, steps = {};
  for (size_t step = 0; step < notes_.entropies.size(); ++step) {
    const double recall =
        notes_.recalls[step * current_.recalls.size() + place];
    ratios.Add(recall);
    const double entropy = notes_.entropies[step];
    if (!AllFinite({recall, entropy})) continue;
    const int bin = EntropyBinOf(entropy);
    sums[bin] += recall;
    steps[bin] += 1;
  }
  for (int bin = 0; bin < kEntropyBins; ++bin) {
    if (steps[bin] == 0) continue;
    lane.series->sum[bin]->Increment(sums[bin]);
    lane.series->steps[bin]->Increment(steps[bin]);
  }
}

void RunMetrics::OnSampleFinished(const SampleResult& result,
                                  absl::Duration latency) {
  CountNotes();
  latency_.Observe(absl::ToDoubleSeconds(latency));
  prefill_.Observe(result.prefill_seconds);
  decode_.Observe(result.decode_seconds);
  generation_length_.Observe(static_cast<double>(result.generated_tokens));
}

void RunMetrics::OnSampleFailed(const SampleFailure& failure) {
  // The runner stops at such a step before it makes a record of it.
  if (failure.reason == "NONFINITE_LOGITS") nonfinite_logit_.Increment();
  if (failure.reason == "OUT_OF_MEMORY") out_of_memory_.Increment();
}

void RunMetrics::OnIdle() {
  CountNotes();
  cache_usage_.Set(0);
}

}  // namespace kvrecall
