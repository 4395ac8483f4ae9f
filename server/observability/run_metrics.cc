#include "server/observability/run_metrics.h"

#include "absl/time/time.h"

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

// Counts the values, and forgets them but not their room.
void Count(std::vector<double>* values, prometheus::Histogram* histogram,
           MetricId id) {
  if (values->empty()) return;
  HistogramBatch batch(histogram, SpecOf(id).buckets);
  for (const double value : *values) batch.Add(value);
  values->clear();
}

}  // namespace

RunMetrics::RunMetrics(MetricFamilies* families)
    : first_token_(families->Histogram(kTimeToFirstToken)),
      between_tokens_(families->Histogram(kInterTokenLatency)),
      latency_(families->Histogram(kSampleLatency)),
      cache_usage_(families->Gauge(kKvCacheUsage)),
      nonfinite_logit_(
          families->Counter(kNonfiniteValues, {{"kind", "logit"}})),
      out_of_memory_(families->Counter(kOutOfMemory)) {
  for (int phase = 0; phase < kEnginePhases; ++phase)
    passes_[phase] =
        &families->Histogram(kEngineStep, {{"phase", kPhaseNames[phase]}});
}

void RunMetrics::SetContextWindow(int64_t positions) {
  context_window_ = static_cast<double>(positions);
}

void RunMetrics::OnPass(EnginePhase phase, absl::Duration time) {
  notes_.passes[static_cast<int>(phase)].push_back(absl::ToDoubleSeconds(time));
  ++notes_.passes_and_steps;
  notes_.time += time;
  // Its step follows, on a GPU after the next pass has begun.
  if (phase != EnginePhase::kDecode) CountIfDue();
}

void RunMetrics::OnStep(const StepRecord& record, absl::Duration latency) {
  const double seconds = absl::ToDoubleSeconds(latency);
  if (record.step == 1) {
    first_token_.Observe(seconds);
  } else {
    notes_.between_tokens.push_back(seconds);
  }
  notes_.positions = record.n;
  ++notes_.passes_and_steps;
  notes_.time += latency;
  CountIfDue();
}

void RunMetrics::CountIfDue() {
  if (notes_.time >= kCountAfter || notes_.passes_and_steps >= kMostNotes)
    CountNotes();
}

void RunMetrics::CountNotes() {
  for (int phase = 0; phase < kEnginePhases; ++phase)
    Count(&notes_.passes[phase], passes_[phase], kEngineStep);
  Count(&notes_.between_tokens, &between_tokens_, kInterTokenLatency);
  if (context_window_ > 0)
    cache_usage_.Set(static_cast<double>(notes_.positions) / context_window_);
  notes_.passes_and_steps = 0;
  notes_.time = absl::ZeroDuration();
}

void RunMetrics::OnSampleFinished(absl::Duration latency) {
  CountNotes();
  latency_.Observe(absl::ToDoubleSeconds(latency));
}

void RunMetrics::OnSampleFailed(const SampleFailure& failure) {
  // The runner stops at such a step before it makes a record of it.
  if (failure.reason == "NONFINITE_LOGITS") nonfinite_logit_.Increment();
  if (failure.reason == "OUT_OF_MEMORY") out_of_memory_.Increment();
}

void RunMetrics::OnIdle() {
  notes_.positions = 0;
  CountNotes();
}

}  // namespace kvrecall
