#pragma once

// Every metric that the server exports, in one list: names, units, labels and
// buckets are written nowhere else. Names follow vLLM's where the meaning is
// the same. Immutable.

#include <span>
#include <string_view>

namespace kvrecall {

enum class MetricType { kCounter, kGauge, kHistogram };

// Index into the catalog.
enum class MetricId {
  kServing,
  kBuildInfo,
  kModelInfo,
  kSamplesRunning,
  kSamplesWaiting,
  kSamples,
  kPromptTokens,
  kGenerationTokens,
  kTimeToFirstToken,
  kInterTokenLatency,
  kPrefillTime,
  kDecodeTime,
  kTokenEntropy,
  kRecallRatio,
  kPositionsFetchedBack,
  kGapKl,
  kGapLogprobChange,
  kNonfiniteValues,
  kRecordsCommitted,
  kRecordCommitLag,
  kSqliteCommit,
  kStreamsOpen,
  kGrpcHandled,
  kCount,
};

struct MetricSpec {
  MetricId id;
  MetricType type;
  const char* name;                 // with its unit, as Prometheus has it
  const char* help;                 // one line
  const char* labels;               // comma-separated; for readers
  std::span<const double> buckets;  // upper bounds; of histograms
};

// In the order of MetricId.
std::span<const MetricSpec> Catalog();
const MetricSpec& SpecOf(MetricId id);

}  // namespace kvrecall
