#include "server/observability/catalog.h"

#include <cstddef>

namespace kvrecall {
namespace {

using enum MetricId;
using enum MetricType;

// Seconds to the first token: from a short prompt to a 32 K prefill on a CPU.
constexpr double kFirstToken[] = {.005, .01, .02, .04, .06, .08, .1,
                                  .25,  .5,  .75, 1,   2.5, 5,   7.5,
                                  10,   20,  40,  80,  160, 640};
// Seconds between tokens.
constexpr double kBetweenTokens[] = {.005, .01, .025, .05, .075, .1,  .15, .2,
                                     .3,   .4,  .5,   .75, 1,    2.5, 5,   10};
// Seconds of a whole phase of a sample.
constexpr double kPhase[] = {.3, .5,  1,   2.5, 5,   10,   20,  30,
                             60, 120, 240, 480, 960, 1920, 7680};
// Seconds of a commit.
constexpr double kDatabase[] = {.0005, .001, .0025, .005, .01, .025,
                                .05,   .1,   .25,   .5,   1,   5};
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

constexpr MetricSpec kCatalog[] = {
    {kServing,
     kGauge,
     "kvrecall_serving",
     "1 while the server takes new work, 0 while it drains.",
     "",
     {}},
    {kBuildInfo,
     kGauge,
     "kvrecall_build_info",
     "Always 1; the labels say what runs.",
     "version,commit",
     {}},
    {kModelInfo,
     kGauge,
     "kvrecall_model_info",
     "Always 1; the labels say which model is loaded.",
     "model,digest,dtype,device",
     {}},
    {kSamplesRunning,
     kGauge,
     "kvrecall_samples_running",
     "Samples in the engine.",
     "",
     {}},
    {kSamplesWaiting,
     kGauge,
     "kvrecall_samples_waiting",
     "Samples in the queue.",
     "",
     {}},
    {kSamples,
     kCounter,
     "kvrecall_samples_total",
     "Samples that ended: ok (an EOS), length (max_new_tokens reached) or "
     "failed.",
     "outcome",
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
    {kPrefillTime, kHistogram, "kvrecall_prefill_time_seconds",
     "Prefill of one sample.", "", kPhase},
    {kDecodeTime, kHistogram, "kvrecall_decode_time_seconds",
     "All decode steps of one sample.", "", kPhase},
    {kTokenEntropy, kHistogram, "kvrecall_token_entropy_nats",
     "Entropy of the next-token distribution at each step.", "", kNats},
    {kRecallRatio, kHistogram, "kvrecall_recall_ratio",
     "Recall at each step in the global scope.", "policy,budget", kShare},
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
     "Log-probability of the step's token in a gap lane less the oracle's.",
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
    {kRecordCommitLag, kHistogram, "kvrecall_record_commit_lag_seconds",
     "From an event's making to its commit; the oldest event of each commit.",
     "", kDatabase},
    {kSqliteCommit, kHistogram, "kvrecall_sqlite_commit_seconds",
     "One transaction of the writer.", "", kDatabase},
    {kStreamsOpen,
     kGauge,
     "kvrecall_streams_open",
     "WatchRun streams open.",
     "",
     {}},
    {kGrpcHandled,
     kCounter,
     "kvrecall_grpc_server_handled_total",
     "Calls that ended, by gRPC status code.",
     "method,code",
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

std::span<const MetricSpec> Catalog() { return kCatalog; }

const MetricSpec& SpecOf(MetricId id) {
  return kCatalog[static_cast<size_t>(id)];
}

}  // namespace kvrecall
