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
  // The server.
  kServing,
  kDraining,
  kBuildInfo,
  kModelInfo,
  kModelLoad,
  kEngineRestarts,
  // Samples and the queue.
  kSamplesRunning,
  kSamplesWaiting,
  kSamplesHeld,
  kQueueTokens,
  kAdmissions,
  kSamples,
  kSamplesReused,
  kPromptTokens,
  kGenerationTokens,
  // How long, and how much.
  kTimeToFirstToken,
  kInterTokenLatency,
  kSampleLatency,
  kQueueTime,
  kPrefillTime,
  kDecodeTime,
  kSamplePromptTokens,
  kSampleGenerationTokens,
  kEngineStep,
  kKvCacheUsage,
  // What is measured.
  kTokenEntropy,
  kEntropySteps,
  kRecallRatio,
  kRecallSum,
  kRecallSteps,
  kPositionsFetchedBack,
  kGapKl,
  kGapLogprobChange,
  kNonfiniteValues,
  // The database.
  kRecordsCommitted,
  kLastRecord,
  kRecordCommitLag,
  kSqliteCommit,
  kSqliteErrors,
  kSqliteDatabase,
  kSqliteWal,
  kDiskFree,
  kDiskSize,
  // Streams and calls.
  kStreamsOpen,
  kStreamsClosed,
  kStreamLag,
  kGrpcHandled,
  // The device.
  kGpuMemory,
  kOutOfMemory,
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

// Steps are sorted into these by their entropy, each bin above the one before
// up to its own bound: 0.1 is in "0-0.1".
struct EntropyBin {
  const char* label;
  double upper;  // nats; of the last, infinite
};
inline constexpr int kEntropyBins = 8;
std::span<const EntropyBin, kEntropyBins> EntropyBins();
// Of a finite entropy.
int EntropyBinOf(double nats);

// In the order of MetricId.
std::span<const MetricSpec> Catalog();
const MetricSpec& SpecOf(MetricId id);

}  // namespace kvrecall
