#pragma once

// The one record that flows through everything: telemetry makes it, the store
// keeps it, the stream, the metrics and the export are views of it. Proto
// messages, SQL rows and JSON lines are conversions of these structs at the
// edges. common/METRICS.md defines every quantity. Plain values; copy freely.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace kvrecall {

// A position of the gold set that a policy does not hold.
struct LostPosition {
  int64_t position = 0;  // from 0
  float weight = 0;      // its attention at the step, in scope global; [0, 1]
  std::string token;     // text of its token alone

  friend bool operator==(const LostPosition&, const LostPosition&) = default;
};

// How many of them a record names.
inline constexpr int kMostLost = 4;

// One policy × scope × budget at one step. Metrics are computed per row of the
// scope and averaged over the rows.
struct RecallRecord {
  int64_t k = 0;               // positions held, the current one included
  double recall = 0;           // |M_pred ∩ M_gold| / K, [0, 1]
  double chance = 0;           // expectation of `random`, [0, 1]
  std::optional<double> lift;  // (recall − chance) / (1 − chance), ≤ 1
  double mass = 0;             // attention on M_pred, [0, 1]
  double mass_ratio = 0;       // mass / mass of M_gold, ≥ 0
  // Recall among the gold positions that are neither the first 4 nor the last
  // 32, over the rows that have such; null where none has.
  std::optional<double> recall_without_free_hits;
  // 1 − Jaccard index of M_gold with the step's before; null at step 1.
  std::optional<double> drift;
  // Positions that a trigger took back, mean over rows; null for a policy that
  // loses nothing for good.
  std::optional<double> fetched_back;
  // [layers]: mean over the layer's rows; empty in scope global.
  std::vector<float> layer_recalls;
  // Of M_gold ∖ M_pred those with the most attention, the most first, at most
  // kMostLost; empty in the other scopes than global.
  std::vector<LostPosition> lost;

  friend bool operator==(const RecallRecord&, const RecallRecord&) = default;
};

// The step's token distribution p' with attention limited, beside the oracle's
// p: one lane of the entropy gap.
struct GapRecord {
  double kl = 0;              // KL(p ‖ p'), nats, ≥ 0
  double entropy_change = 0;  // H(p') − H(p), nats
  double logprob_change = 0;  // ln p'(y_t) − ln p(y_t), nats
  int64_t token_id = 0;       // arg max of p'
  bool top1_agrees = false;   // whether that is the arg max of p too

  friend bool operator==(const GapRecord&, const GapRecord&) = default;
};

// One decode step.
struct StepRecord {
  int64_t step = 0;      // t, from 1
  int64_t n = 0;         // N_t: positions attended, the step's own included
  int64_t token_id = 0;  // y_t
  std::string token;     // text that y_t completes; never half a character
  double entropy = 0;    // H_t, nats
  double logprob = 0;    // ln p(y_t), nats
  double p_max = 0;      // probability of the most likely token
  double margin = 0;     // p_max − probability of the second
  double attention_entropy = 0;       // nats, mean over layers
  double attention_entropy_std = 0;   // nats, population, over layers
  std::vector<RecallRecord> recalls;  // in the order of Lanes(config)
  std::vector<GapRecord> gaps;        // in the order of RunConfig::gaps

  friend bool operator==(const StepRecord&, const StepRecord&) = default;
};

// Why a sample's generation ended.
enum class FinishReason { kEos, kLength };

// "eos" or "length".
const char* FinishReasonName(FinishReason reason);

// What is known of a sample before its first step.
struct SampleStart {
  int64_t prompt_tokens = 0;      // P, after truncation and chat template
  int64_t raw_prompt_tokens = 0;  // before truncation, without chat template
  bool truncated = false;         // the middle was cut out
  double queue_seconds = 0;       // from submission to the engine
  int64_t length = 0;  // as the sample's file counts it; 0: not given
  // The run that computed these records; empty: this one.
  std::string reused_from;

  friend bool operator==(const SampleStart&, const SampleStart&) = default;
};

// What is known of a sample after its last step.
struct SampleResult {
  int64_t generated_tokens = 0;  // T, the step that chose an EOS included
  std::string text;              // decoded, special tokens skipped
  std::optional<double> score;   // the task's metric, [0, 1]
  // In the order of RunConfig::gaps: the score of the text that the lane's own
  // tokens make, each chosen after the oracle's text so far. Empty where the
  // task has no score or the text was forced.
  std::vector<double> gap_scores;
  FinishReason finish_reason = FinishReason::kLength;
  double prefill_seconds = 0;
  double decode_seconds = 0;

  friend bool operator==(const SampleResult&, const SampleResult&) = default;
};

// A sample that could not be run. `reason` is UPPER_SNAKE for programs,
// `message` one line for people.
struct SampleFailure {
  std::string reason;
  std::string message;

  friend bool operator==(const SampleFailure&, const SampleFailure&) = default;
};

enum class RunState {
  kQueued,
  kRunning,
  kSucceeded,
  kPartiallyFailed,
  kFailed,
  kCancelled,
};

// "queued", "running", "succeeded", "partially_failed", "failed", "cancelled".
const char* RunStateName(RunState state);

// True for the states that a run never leaves.
bool IsTerminal(RunState state);

// The last event of a run.
struct RunEnd {
  RunState state = RunState::kSucceeded;
  int64_t samples_done = 0;
  int64_t samples_failed = 0;

  friend bool operator==(const RunEnd&, const RunEnd&) = default;
};

// One committed event of a run. `sequence` is given at commit: per run, from
// 1, without gaps.
struct Event {
  int64_t sequence = 0;
  std::string sample_id;  // empty for RunEnd
  int64_t attempt = 1;    // readers use a sample's last attempt
  std::variant<SampleStart, StepRecord, SampleResult, SampleFailure, RunEnd>
      body;

  friend bool operator==(const Event&, const Event&) = default;
};

}  // namespace kvrecall
