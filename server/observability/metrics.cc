#include "server/observability/metrics.h"

#include <cmath>
#include <utility>

#include "absl/time/time.h"

#include "common/longbench/task.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

constexpr size_t kMaxPolicyLabels = 6;
constexpr size_t kMaxBudgetLabels = 4;
constexpr size_t kMaxGapLabels = 8;
constexpr char kOther[] = "other";

constexpr const char* kMethods[] = {
    "CreateRun",     "GetRun",        "ListRuns",    "CancelRun",
    "SubmitSamples", "WatchRun",      "ListRecords", "ExportRun",
    "GetModel",      "GetServerInfo", "Tokenize",    "GetStatus",
    "DeleteRun",     "Backup",        "Checkpoint",  "Drain"};

constexpr const char* kCodeNames[] = {"OK",
                                      "CANCELLED",
                                      "UNKNOWN",
                                      "INVALID_ARGUMENT",
                                      "DEADLINE_EXCEEDED",
                                      "NOT_FOUND",
                                      "ALREADY_EXISTS",
                                      "PERMISSION_DENIED",
                                      "RESOURCE_EXHAUSTED",
                                      "FAILED_PRECONDITION",
                                      "ABORTED",
                                      "OUT_OF_RANGE",
                                      "UNIMPLEMENTED",
                                      "INTERNAL",
                                      "UNAVAILABLE",
                                      "DATA_LOSS",
                                      "UNAUTHENTICATED"};

prometheus::Histogram::BucketBoundaries BucketsOf(MetricId id) {
  const auto buckets = SpecOf(id).buckets;
  return {buckets.begin(), buckets.end()};
}

bool AllFinite(std::initializer_list<double> values) {
  for (double value : values)
    if (!std::isfinite(value)) return false;
  return true;
}

}  // namespace

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      serving_(Gauge(MetricId::kServing)),
      samples_running_(Gauge(MetricId::kSamplesRunning)),
      samples_waiting_(Gauge(MetricId::kSamplesWaiting)),
      streams_open_(Gauge(MetricId::kStreamsOpen)),
      samples_ok_(CounterFamily(MetricId::kSamples).Add({{"outcome", "ok"}})),
      samples_length_(
          CounterFamily(MetricId::kSamples).Add({{"outcome", "length"}})),
      samples_failed_(
          CounterFamily(MetricId::kSamples).Add({{"outcome", "failed"}})),
      nonfinite_logit_(
          CounterFamily(MetricId::kNonfiniteValues).Add({{"kind", "logit"}})),
      nonfinite_entropy_(
          CounterFamily(MetricId::kNonfiniteValues).Add({{"kind", "entropy"}})),
      nonfinite_recall_(
          CounterFamily(MetricId::kNonfiniteValues).Add({{"kind", "recall"}})),
      nonfinite_gap_(
          CounterFamily(MetricId::kNonfiniteValues).Add({{"kind", "gap"}})),
      records_committed_(Counter(MetricId::kRecordsCommitted)),
      first_token_(Histogram(MetricId::kTimeToFirstToken)),
      between_tokens_(Histogram(MetricId::kInterTokenLatency)),
      prefill_(Histogram(MetricId::kPrefillTime)),
      decode_(Histogram(MetricId::kDecodeTime)),
      entropy_(Histogram(MetricId::kTokenEntropy)),
      commit_lag_(Histogram(MetricId::kRecordCommitLag)),
      commit_(Histogram(MetricId::kSqliteCommit)),
      recall_family_(HistogramFamily(MetricId::kRecallRatio)),
      fetched_back_family_(CounterFamily(MetricId::kPositionsFetchedBack)),
      gap_kl_family_(HistogramFamily(MetricId::kGapKl)),
      gap_logprob_family_(HistogramFamily(MetricId::kGapLogprobChange)),
      policies_(kMaxPolicyLabels),
      budgets_(kMaxBudgetLabels),
      gap_lanes_(kMaxGapLabels) {
  FetchedBackSeries(kOther, kOther);
  GapSeriesOf(kOther);
  auto& prompt = CounterFamily(MetricId::kPromptTokens);
  auto& generation = CounterFamily(MetricId::kGenerationTokens);
  const auto add_task = [&](const std::string& task) {
    prompt_tokens_[task] = &prompt.Add({{"task", task}});
    generation_tokens_[task] = &generation.Add({{"task", task}});
  };
  for (const Task& task : AllTasks()) add_task(std::string(task.name));
  add_task(kOther);

  auto& handled = CounterFamily(MetricId::kGrpcHandled);
  for (const char* method : kMethods)
    for (int code = 0; code < kCodes; ++code)
      handled_[method][code] =
          &handled.Add({{"method", method}, {"code", kCodeNames[code]}});
}

prometheus::Family<prometheus::Counter>& Metrics::CounterFamily(MetricId id) {
  return prometheus::BuildCounter()
      .Name(SpecOf(id).name)
      .Help(SpecOf(id).help)
      .Register(*registry_);
}

prometheus::Family<prometheus::Gauge>& Metrics::GaugeFamily(MetricId id) {
  return prometheus::BuildGauge()
      .Name(SpecOf(id).name)
      .Help(SpecOf(id).help)
      .Register(*registry_);
}

prometheus::Family<prometheus::Histogram>& Metrics::HistogramFamily(
    MetricId id) {
  return prometheus::BuildHistogram()
      .Name(SpecOf(id).name)
      .Help(SpecOf(id).help)
      .Register(*registry_);
}

prometheus::Counter& Metrics::Counter(MetricId id) {
  return CounterFamily(id).Add({});
}

prometheus::Gauge& Metrics::Gauge(MetricId id) {
  return GaugeFamily(id).Add({});
}

prometheus::Histogram& Metrics::Histogram(MetricId id) {
  return HistogramFamily(id).Add({}, BucketsOf(id));
}

void Metrics::SetBuildInfo(const std::string& version,
                           const std::string& commit) {
  GaugeFamily(MetricId::kBuildInfo)
      .Add({{"version", version}, {"commit", commit}})
      .Set(1);
}

void Metrics::SetModelInfo(const std::string& model, const std::string& digest,
                           const std::string& dtype,
                           const std::string& device) {
  GaugeFamily(MetricId::kModelInfo)
      .Add({{"model", model},
            {"digest", digest},
            {"dtype", dtype},
            {"device", device}})
      .Set(1);
}

void Metrics::PrepareLanes(const RunConfig& defaults) {
  for (const PolicySpec& policy : defaults.policies)
    for (const Budget& budget : defaults.budgets) RecallSeries(policy, budget);
}

void Metrics::SetServing(bool serving) { serving_.Set(serving ? 1 : 0); }

prometheus::Histogram& Metrics::RecallSeries(const PolicySpec& policy,
                                             const Budget& budget) {
  return recall_family_.Add({{"policy", policies_.Admit(policy.ToString())},
                             {"budget", budgets_.Admit(budget.ToString())}},
                            BucketsOf(MetricId::kRecallRatio));
}

prometheus::Counter& Metrics::FetchedBackSeries(const std::string& policy,
                                                const std::string& budget) {
  return fetched_back_family_.Add({{"policy", policy}, {"budget", budget}});
}

Metrics::GapSeries Metrics::GapSeriesOf(const std::string& lane) {
  return {&gap_kl_family_.Add({{"lane", lane}}, BucketsOf(MetricId::kGapKl)),
          &gap_logprob_family_.Add({{"lane", lane}},
                                   BucketsOf(MetricId::kGapLogprobChange))};
}

Metrics::RunSeries Metrics::Resolve(const RunConfig& config) {
  RunSeries series;
  series.config = config;
  const std::string task =
      generation_tokens_.contains(config.task) ? config.task : kOther;
  series.prompt_tokens = prompt_tokens_.at(task);
  series.generation_tokens = generation_tokens_.at(task);
  for (const Lane& lane : Lanes(config)) {
    const PolicySpec& policy = config.policies[lane.policy];
    const Budget& budget = config.budgets[lane.budget];
    const PolicyEntry* entry = FindPolicy(policy.name);
    const bool global = config.scopes[lane.scope] == Scope::kGlobal;
    const bool loses = entry != nullptr && entry->irreversible;
    series.recalls.push_back(global ? &RecallSeries(policy, budget) : nullptr);
    series.fetched_back.push_back(
        global && loses ? &FetchedBackSeries(policies_.Admit(policy.ToString()),
                                             budgets_.Admit(budget.ToString()))
                        : nullptr);
  }
  for (const GapSpec& gap : config.gaps)
    series.gaps.push_back(GapSeriesOf(gap_lanes_.Admit(gap.ToString())));
  return series;
}

const Metrics::RunSeries& Metrics::SeriesOf(const RunConfig& config) {
  if (!current_ || current_->config != config) current_ = Resolve(config);
  return *current_;
}

void Metrics::OnSampleStarted(const RunConfig& config,
                              const SampleStart& start) {
  SeriesOf(config).prompt_tokens->Increment(
      static_cast<double>(start.prompt_tokens));
}

void Metrics::OnStep(const RunConfig& config, const StepRecord& record,
                     absl::Duration latency) {
  const RunSeries& series = SeriesOf(config);
  series.generation_tokens->Increment();
  (record.step == 1 ? first_token_ : between_tokens_)
      .Observe(absl::ToDoubleSeconds(latency));
  // A value that is not finite would spoil a histogram's sum for good.
  if (!AllFinite({record.logprob, record.p_max, record.margin}))
    nonfinite_logit_.Increment();
  if (!AllFinite({record.entropy, record.attention_entropy,
                  record.attention_entropy_std}))
    nonfinite_entropy_.Increment();
  if (std::isfinite(record.entropy)) entropy_.Observe(record.entropy);
  OnRecalls(series, record);
  OnGaps(series, record);
}

void Metrics::OnRecalls(const RunSeries& series, const StepRecord& record) {
  bool finite = true;
  for (size_t i = 0; i < record.recalls.size(); ++i) {
    const RecallRecord& recall = record.recalls[i];
    const double fetched = recall.fetched_back.value_or(0);
    finite &= AllFinite({recall.recall, recall.mass, recall.mass_ratio,
                         recall.lift.value_or(0),
                         recall.recall_without_free_hits.value_or(0),
                         recall.drift.value_or(0), fetched});
    if (i >= series.recalls.size()) continue;
    if (series.recalls[i] != nullptr && std::isfinite(recall.recall))
      series.recalls[i]->Observe(recall.recall);
    if (series.fetched_back[i] != nullptr && std::isfinite(fetched))
      series.fetched_back[i]->Increment(fetched);
  }
  if (!finite) nonfinite_recall_.Increment();
}

void Metrics::OnGaps(const RunSeries& series, const StepRecord& record) {
  bool finite = true;
  for (size_t i = 0; i < record.gaps.size() && i < series.gaps.size(); ++i) {
    const GapRecord& gap = record.gaps[i];
    finite &= AllFinite({gap.kl, gap.entropy_change, gap.logprob_change});
    if (std::isfinite(gap.kl)) series.gaps[i].kl->Observe(gap.kl);
    if (std::isfinite(gap.logprob_change))
      series.gaps[i].logprob_change->Observe(gap.logprob_change);
  }
  if (!finite) nonfinite_gap_.Increment();
}

void Metrics::OnSampleFinished(const RunConfig&, const SampleResult& result) {
  (result.finish_reason == FinishReason::kEos ? samples_ok_ : samples_length_)
      .Increment();
  prefill_.Observe(result.prefill_seconds);
  decode_.Observe(result.decode_seconds);
}

void Metrics::OnSampleFailed(const RunConfig&, const SampleFailure& failure) {
  samples_failed_.Increment();
  // The runner stops at such a step before it makes a record of it.
  if (failure.reason == "NONFINITE_LOGITS") nonfinite_logit_.Increment();
}

void Metrics::OnCommit(int64_t events, absl::Duration commit_time,
                       absl::Duration lag) {
  records_committed_.Increment(static_cast<double>(events));
  commit_.Observe(absl::ToDoubleSeconds(commit_time));
  if (events > 0) commit_lag_.Observe(absl::ToDoubleSeconds(lag));
}

void Metrics::OnQueue(int64_t waiting, int64_t running) {
  samples_waiting_.Set(static_cast<double>(waiting));
  samples_running_.Set(static_cast<double>(running));
}

void Metrics::OnCallHandled(std::string_view method, int code) {
  const auto it = handled_.find(method);
  if (it == handled_.end() || code < 0 || code >= kCodes) return;
  it->second[code]->Increment();
}

void Metrics::OnStreamOpened() { streams_open_.Increment(); }

void Metrics::OnStreamClosed() { streams_open_.Decrement(); }

}  // namespace kvrecall
