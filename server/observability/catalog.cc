#include "server/observability/catalog.h"

#include <cstddef>
#include <limits>

namespace kvrecall {
namespace {

using enum MetricId;
using enum MetricType;

// Seconds to the first token: from a short prompt to a 32 K prefill on a CPU.
constexpr double kFirstToken[] = {.005, .01, .02, .04, .06, .08, .1,
                                  .25,  .5,  .75, 1,   2.5, 5,   7.5,
                                  10,   20,  40,  80,  160, 640};
// Seconds between tokens, and of a step of the engine.
constexpr double kBetweenTokens[] = {.005, .01, .025, .05, .075, .1,  .15, .2,
                                     .3,   .4,  .5,   .75, 1,    2.5, 5,   10};
// Seconds of a whole phase of a sample.
constexpr double kPhase[] = {.3, .5,  1,   2.5, 5,   10,   20,  30,
                             60, 120, 240, 480, 960, 1920, 7680};
// Seconds of a commit.
constexpr double kDatabase[] = {.0005, .001, .0025, .005, .01, .025,
                                .05,   .1,   .25,   .5,   1,   5};
// Tokens of a text.
constexpr double kTokens[] = {1,   2,    5,    10,   20,    50,    100,  200,
                              500, 1000, 2000, 5000, 10000, 20000, 32768};
// Records that a stream's reader has not been sent yet.
constexpr double kRecords[] = {0, 1, 10, 100, 1000, 10000, 100000};
// Nats; ln of a vocabulary of 152064 is 11.93.
constexpr double kNats[] = {.01, .05, .1, .25, .5, 1, 1.5, 2, 3, 4, 6, 8, 12};
// Nats of a divergence, which is tiny where nothing is missed.
constexpr double kDivergence[] = {.0001, .001, .01, .05, .1, .25, .5, 1,
                                  1.5,   2,    3,   4,   6,  8,   12, 20};
// Nats of a change, mostly a loss.
constexpr double kChange[] = {-20, -12,  -8, -6,  -4, -3, -2, -1, -.5,
                              -.1, -.01, 0,  .01, .1, .5, 1,  2,  4};
// Shares of 1. A value that equals a bound counts as within it.
constexpr double kShare[] = {.05, .1, .2, .3,  .4,  .5, .6,
                             .7,  .8, .9, .95, .99, 1};

constexpr EntropyBin kEntropy[] = {
    {"0-0.1", .1},    {"0.1-0.25", .25},
    {"0.25-0.5", .5}, {"0.5-1", 1},
    {"1-2", 2},       {"2-3", 3},
    {"3-5", 5},       {"5+", std::numeric_limits<double>::infinity()}};

constexpr MetricSpec kCatalog[] = {
    {kServing,
     kGauge,
     "kvrecall_serving",
     "1 while the server takes new work, 0 before and while it drains.",
     "",
     {}},
    {kDraining,
     kGauge,
     "kvrecall_draining",
     "1 from the request to end on, 0 before.",
     "",
     {}},
    {kBuildInfo,
     kGauge,
     "kvrecall_build_info",
     "Always 1; the labels say what runs.",
     "version,commit,libtorch,sqlite",
     {}},
    {kModelInfo,
     kGauge,
     "kvrecall_model_info",
     "Always 1; the labels say which model is loaded.",
     "model,digest,dtype,device",
     {}},
    {kModelLoad,
     kGauge,
     "kvrecall_model_load_seconds",
     "Time that loading the model took.",
     "",
     {}},
    {kEngineRestarts,
     kCounter,
     "kvrecall_engine_restarts_total",
     "Starts of a server on this database after the first; kept in the "
     "database.",
     "",
     {}},
    {kSamplesRunning,
     kGauge,
     "kvrecall_samples_running",
     "Samples taken from the queue: in the engine, or made ready for it.",
     "",
     {}},
    {kSamplesWaiting,
     kGauge,
     "kvrecall_samples_waiting",
     "Samples in the queue, but for those that are held.",
     "",
     {}},
    {kSamplesHeld,
     kGauge,
     "kvrecall_samples_held",
     "Samples in the queue that this server leaves there: their runs began "
     "with another program, model, device, driver or setting.",
     "",
     {}},
    {kQueueTokens,
     kGauge,
     "kvrecall_queue_tokens",
     "Tokens of the samples in the queue, estimated at four bytes each, with "
     "those that may be generated.",
     "",
     {}},
    {kAdmissions,
     kCounter,
     "kvrecall_admissions_total",
     "Samples that were submitted, by what became of them: accepted, "
     "duplicate, queue_full, refused, disk_low, database_full, draining or "
     "error.",
     "result",
     {}},
    {kSamples,
     kCounter,
     "kvrecall_samples_total",
     "Samples that ended: ok (an EOS), length (max_new_tokens reached), "
     "failed, cancelled, deadline (out of time).",
     "outcome",
     {}},
    {kSamplesReused,
     kCounter,
     "kvrecall_samples_reused_total",
     "Of the samples that ended, those that got the records of an earlier run.",
     "",
     {}},
    {kPromptTokens,
     kCounter,
     "kvrecall_prompt_tokens_total",
     "Prompt tokens of the samples started, after truncation and chat "
     "template.",
     "task",
     {}},
    {kGenerationTokens,
     kCounter,
     "kvrecall_generation_tokens_total",
     "Generated tokens, one per decode step.",
     "task",
     {}},
    {kTimeToFirstToken, kHistogram, "kvrecall_time_to_first_token_seconds",
     "From a sample's submission to its first step.", "", kFirstToken},
    {kInterTokenLatency, kHistogram, "kvrecall_inter_token_latency_seconds",
     "From one step of a sample to the next.", "", kBetweenTokens},
    {kSampleLatency, kHistogram, "kvrecall_e2e_sample_latency_seconds",
     "From a sample's submission to its last record, of those that were run to "
     "their end.",
     "", kPhase},
    {kQueueTime, kHistogram, "kvrecall_queue_time_seconds",
     "From a sample's submission to the engine.", "", kPhase},
    {kPrefillTime, kHistogram, "kvrecall_prefill_time_seconds",
     "Prefill of one sample.", "", kPhase},
    {kDecodeTime, kHistogram, "kvrecall_decode_time_seconds",
     "All decode steps of one sample.", "", kPhase},
    {kSamplePromptTokens, kHistogram, "kvrecall_sample_prompt_tokens",
     "Prompt tokens of a sample, after truncation and chat template.", "",
     kTokens},
    {kSampleGenerationTokens, kHistogram, "kvrecall_sample_generation_tokens",
     "Tokens that a sample generated.", "", kTokens},
    {kEngineStep, kHistogram, "kvrecall_engine_step_seconds",
     "The engine thread's time for a pass through the model: a prefill chunk, "
     "a decode step with its figures, or gap lanes that no step goes with.",
     "phase", kBetweenTokens},
    {kKvCacheUsage,
     kGauge,
     "kvrecall_kv_cache_usage_ratio",
     "Positions that the running sample holds, of those that a text may have.",
     "",
     {}},
    {kTokenEntropy, kHistogram, "kvrecall_token_entropy_nats",
     "Entropy of the next-token distribution at each step.", "", kNats},
    {kEntropySteps,
     kCounter,
     "kvrecall_entropy_steps_total",
     "Steps, by their entropy in nats.",
     "entropy_bin",
     {}},
    {kRecallRatio, kHistogram, "kvrecall_recall_ratio",
     "Recall at each step in the global scope.", "policy,budget", kShare},
    {kRecallSum,
     kCounter,
     "kvrecall_recall_sum_total",
     "Sum of recall over steps in the global scope, by their entropy in nats.",
     "policy,budget,entropy_bin",
     {}},
    {kRecallSteps,
     kCounter,
     "kvrecall_recall_steps_total",
     "Recalls in that sum.",
     "policy,budget,entropy_bin",
     {}},
    {kPositionsFetchedBack,
     kCounter,
     "kvrecall_positions_fetched_back_total",
     "Positions that a trigger took back, in the global scope.",
     "policy,budget",
     {}},
    {kGapKl, kHistogram, "kvrecall_gap_kl_nats",
     "Divergence of a gap lane's next-token distribution from the oracle's.",
     "lane", kDivergence},
    {kGapLogprobChange, kHistogram, "kvrecall_gap_logprob_change_nats",
     "Log-probability of the step's token in a gap lane less the oracle's; "
     "mostly below 0, so that its sum is no counter.",
     "lane", kChange},
    {kNonfiniteValues,
     kCounter,
     "kvrecall_nonfinite_values_total",
     "Steps with a number that is not finite; anything but 0 is a defect.",
     "kind",
     {}},
    {kRecordsCommitted,
     kCounter,
     "kvrecall_records_committed_total",
     "Events committed to the database.",
     "",
     {}},
    {kLastRecord,
     kGauge,
     "kvrecall_last_record_timestamp_seconds",
     "Time of the last commit with an event, since the Unix epoch; 0: none "
     "yet.",
     "",
     {}},
    {kRecordCommitLag, kHistogram, "kvrecall_record_commit_lag_seconds",
     "From an event's making to its commit; the oldest event of each commit.",
     "", kDatabase},
    {kSqliteCommit, kHistogram, "kvrecall_sqlite_commit_seconds",
     "One transaction of the writer.", "", kDatabase},
    {kSqliteErrors,
     kCounter,
     "kvrecall_sqlite_errors_total",
     "Statements of the writer that failed: busy, full, ioerr, corrupt or "
     "other.",
     "code",
     {}},
    {kSqliteDatabase,
     kGauge,
     "kvrecall_sqlite_db_bytes",
     "Size of the database file.",
     "",
     {}},
    {kSqliteWal,
     kGauge,
     "kvrecall_sqlite_wal_bytes",
     "Size of the write-ahead log beside it.",
     "",
     {}},
    {kDiskFree,
     kGauge,
     "kvrecall_disk_free_bytes",
     "Room left on the database's file system.",
     "",
     {}},
    {kDiskSize,
     kGauge,
     "kvrecall_disk_size_bytes",
     "Size of that file system.",
     "",
     {}},
    {kStreamsOpen,
     kGauge,
     "kvrecall_streams_open",
     "WatchRun streams open.",
     "",
     {}},
    {kStreamsClosed,
     kCounter,
     "kvrecall_streams_closed_total",
     "WatchRun streams that ended: done, client_gone, slow (its reader "
     "stalled), drain or error.",
     "reason",
     {}},
    {kStreamLag, kHistogram, "kvrecall_stream_lag_records",
     "Committed records that a stream had yet to send, looked at with each "
     "message.",
     "", kRecords},
    {kGrpcHandled,
     kCounter,
     "kvrecall_grpc_server_handled_total",
     "Calls that ended, by gRPC status code.",
     "method,code",
     {}},
    {kGpuMemory,
     kGauge,
     "kvrecall_gpu_memory_bytes",
     "The GPU's memory: allocated (in use by tensors), reserved (kept by "
     "libtorch) and total; 0 on a CPU.",
     "kind",
     {}},
    {kOutOfMemory,
     kCounter,
     "kvrecall_out_of_memory_total",
     "Samples that failed because memory ran out, the device's or the host's.",
     "",
     {}},
};

static_assert(std::size(kCatalog) == static_cast<size_t>(MetricId::kCount));

constexpr bool InOrder() {
  for (size_t i = 0; i < std::size(kCatalog); ++i)
    if (kCatalog[i].id != static_cast<MetricId>(i)) return false;
  return true;
}
static_assert(InOrder());

}  // namespace

std::span<const EntropyBin, kEntropyBins> EntropyBins() { return kEntropy; }

int EntropyBinOf(double nats) {
  int bin = 0;
  while (nats > kEntropy[bin].upper) ++bin;
  return bin;
}

std::span<const MetricSpec> Catalog() { return kCatalog; }

const MetricSpec& SpecOf(MetricId id) {
  return kCatalog[static_cast<size_t>(id)];
}

}  // namespace kvrecall
