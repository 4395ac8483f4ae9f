#include "server/runner/sample_run.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "c10/core/InferenceMode.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/longbench/scoring.h"
#include "common/record/json.h"
#include "server/engine/compat.h"
#include "server/engine/sampler.h"
#include "server/engine/tokenizer/incremental_decoder.h"
#include "server/telemetry/distribution.h"
#include "server/telemetry/gap.h"
#include "server/telemetry/telemetry.h"

namespace kvrecall {
namespace {

// What a gap lane would have said: each token chosen after the oracle's text.
class LaneText {
 public:
  explicit LaneText(const Tokenizer& tokenizer)
      : decoder_(tokenizer, /*skip_special_tokens=*/true) {}

  // `ends`: the token ends the text and is no part of it.
  void Push(int64_t token, bool ends) {
    ended_ |= ends;
    if (!ended_) text_ += decoder_.Push(token);
  }

  std::string Finish() { return text_ + decoder_.Finish(); }

 private:
  IncrementalDecoder decoder_;
  std::string text_;
  bool ended_ = false;
};

// The tokens that end a text: the model's, and for some tasks the line feed, as
// the last token of its encoding.
std::vector<int64_t> EndTokens(const Task& task, const ModelInfo& model,
                               const Tokenizer& tokenizer) {
  std::vector<int64_t> tokens = model.eos_token_ids;
  if (!task.ends_at_newline) return tokens;
  const std::vector<int64_t> line_feed = tokenizer.Encode("\n");
  if (!line_feed.empty()) tokens.push_back(line_feed.back());
  return tokens;
}

class SampleRun {
  using Clock = std::chrono::steady_clock;

 public:
  SampleRun(Model& model, const Tokenizer& tokenizer,
            const PreparedSample& sample, const std::atomic<bool>& stop,
            const EventSink& sink, const PassTimer& timer)
      : model_(model),
        sample_(sample),
        config_(sample.lease.config),
        stop_(stop),
        sink_(sink),
        timer_(timer),
        end_tokens_(EndTokens(*sample.task, model.info(), tokenizer)),
        tokenizer_(tokenizer),
        text_(sample.prompt.tokens),
        decoder_(tokenizer, /*skip_special_tokens=*/true),
        lane_texts_(config_.gaps.size(), LaneText(tokenizer)) {}

  absl::Status Run() {
    const absl::Time begin = absl::Now();
    RETURN_IF_ERROR(TakeForcedText());
    RETURN_IF_ERROR(Start(begin));
    RETURN_IF_ERROR(Prefill());
    const absl::Time prefilled = absl::Now();
    const absl::Status decoded = CatchTorch([&] { return Decode(); });
    if (!decoded.ok()) {
      HandOnWhatIsOpen();
      return decoded;
    }
    result_.text += decoder_.Finish();
    result_.prefill_seconds = absl::ToDoubleSeconds(prefilled - begin);
    result_.decode_seconds = absl::ToDoubleSeconds(absl::Now() - prefilled);
    if (!forced()) Score();
    return sink_(std::move(result_), absl::Now());
  }

 private:
  int64_t prompt_tokens() const {
    return static_cast<int64_t>(sample_.prompt.tokens.size());
  }

  bool forced() const { return config_.force != Force::kNone; }

  // T at most.
  int64_t max_steps() const {
    return forced() ? std::ssize(forced_tokens_) : config_.max_new_tokens;
  }

  // The tokens that are to be said, an EOS behind them.
  absl::Status TakeForcedText() {
    if (!forced()) return absl::OkStatus();
    if (model_.info().eos_token_ids.empty())
      return absl::InvalidArgumentError(
          "the model has no end-of-text token to end a forced text with");
    forced_tokens_ = sample_.forced;
    forced_tokens_.push_back(model_.info().eos_token_ids.front());
    return absl::OkStatus();
  }

  void Score() {
    const Sample& sample = sample_.lease.sample;
    result_.score = ScoreSample(*sample_.task, result_.text, sample.answers,
                                sample.all_classes);
    if (!result_.score) return;
    for (LaneText& lane : lane_texts_)
      result_.gap_scores.push_back(ScoreSample(*sample_.task, lane.Finish(),
                                               sample.answers,
                                               sample.all_classes)
                                       .value_or(0));
  }

  absl::Status Start(absl::Time now) {
    const int64_t needed = prompt_tokens() + max_steps();
    if (needed > model_.info().context_window)
      return absl::OutOfRangeError(
          absl::StrCat("the prompt of ", prompt_tokens(), " tokens and ",
                       max_steps(), " new ones do not fit the model's ",
                       model_.info().context_window, " positions"));
    SampleStart start;
    start.prompt_tokens = prompt_tokens();
    start.raw_prompt_tokens = sample_.prompt.raw_tokens;
    start.truncated = sample_.prompt.truncated;
    start.queue_seconds =
        std::max(0.0, absl::ToDoubleSeconds(now - sample_.lease.submit_time));
    start.length = sample_.lease.sample.length;
    return sink_(start, now);
  }

  absl::Status Prefill() {
    RETURN_IF_ERROR(CheckCancelled());
    ASSIGN_OR_RETURN(
        telemetry_,
        SampleTelemetry::Create(
            config_, {model_.info().layers, prompt_tokens(), max_steps()},
            {SampleKey64(sample_, model_.info())}));
    ASSIGN_OR_RETURN(
        sequence_,
        model_.NewSequence(prompt_tokens() + max_steps(),
                           telemetry_->MostBytes(model_.info().kv_heads)));
    PrefillOptions options;
    options.windows = telemetry_->windows();
    options.cancelled = sample_.lease.cancelled.get();
    options.on_chunk = [this] { TellPass(EnginePhase::kPrefill); };
    pass_began_ = Clock::now();
    // The last prompt token is the first decode step.
    ASSIGN_OR_RETURN(
        const PrefillObservation observation,
        model_.Prefill(*sequence_,
                       std::span(sample_.prompt.tokens)
                           .first(sample_.prompt.tokens.size() - 1),
                       options));
    telemetry_->Begin(observation, *sequence_);
    return absl::OkStatus();
  }

  // A step whose record is not handed on yet. Gap lanes are computed beside the
  // next step, which reads the weights anyway. And a GPU is told of the next
  // step first and of this one's figures then, so that it need not wait while
  // the host makes them up, nor the host for the GPU.
  struct OpenStep {
    int64_t fed = 0;
    int64_t chosen = 0;
    double logprob = 0;
    std::string token;  // the text that the chosen one completes
    at::Tensor logits, rows;
    TokenDistribution distribution;
    std::vector<at::Tensor> masks;
    enum { kSeen, kQueued, kTaken } state = kSeen;
    StepRecord record;  // once it is taken
  };

  absl::Status Decode() {
    int64_t token = sample_.prompt.tokens.back();
    result_.finish_reason = FinishReason::kLength;
    for (int64_t t = 1; t <= max_steps(); ++t) {
      RETURN_IF_ERROR(CheckCancelled());
      pass_began_ = Clock::now();
      RETURN_IF_ERROR(Step(t, token));
      TellPass(EnginePhase::kDecode);
      OpenStep& step = open_.back();
      token = step.chosen;
      text_.push_back(token);
      const bool eos = forced() ? t == max_steps() : IsEos(token);
      // An EOS that ends the text is no part of it.
      if (!eos || config_.ignore_eos) step.token = decoder_.Push(token);
      result_.text += step.token;
      result_.generated_tokens = t;
      if (config_.gaps.empty() && step.state == OpenStep::kTaken)
        RETURN_IF_ERROR(CloseFirst({}));
      if (eos && !config_.ignore_eos) {
        result_.finish_reason = FinishReason::kEos;
        break;
      }
    }
    while (!open_.empty()) {
      at::Tensor lanes;
      if (!config_.gaps.empty()) {
        pass_began_ = Clock::now();
        ASSIGN_OR_RETURN(
            lanes, model_.StepMasked(*sequence_, open_[0].fed, open_[0].masks));
        TellPass(EnginePhase::kGap);
      }
      RETURN_IF_ERROR(CloseFirst(lanes));
    }
    return absl::OkStatus();
  }

  // Feeds `token` and opens the step that it is. Of those before, one at most
  // stays open.
  absl::Status Step(int64_t t, int64_t token) {
    StepInput input{sequence_.get(), token};
    if (!open_.empty() && !open_[0].masks.empty())
      input.lanes = {open_[0].fed, open_[0].masks};
    ASSIGN_OR_RETURN(const std::vector<StepObservation> observations,
                     model_.Step({&input, 1}));
    const StepObservation& seen = observations[0];
    if (!open_.empty() && open_[0].state != OpenStep::kSeen)
      RETURN_IF_ERROR(CloseFirst(seen.lanes));
    for (OpenStep& step : open_) Queue(step);
    ASSIGN_OR_RETURN(const TokenDistribution distribution,
                     DescribeLogits(seen.logits));
    OpenStep step;
    step.fed = token;
    step.chosen = Choose(t, seen.logits, distribution);
    step.logprob = LogProbability(seen.logits, distribution, step.chosen);
    step.logits = seen.logits;
    step.rows = seen.rows;
    step.distribution = distribution;
    const bool on_cpu = seen.rows.device().is_cpu();
    if (on_cpu || !config_.gaps.empty()) Queue(step);
    if (!config_.gaps.empty()) step.masks = telemetry_->GapMasks();
    if (on_cpu) Take(step);
    open_.push_back(std::move(step));
    return absl::OkStatus();
  }

  // Of a sample that has failed: the steps before that were whole, but for
  // those whose gap lanes nobody will compute. Why it failed is the caller's to
  // say, also where the device gives nothing any more.
  void HandOnWhatIsOpen() {
    if (!config_.gaps.empty() || is_refused_) return;
    CatchTorch([&] {
      absl::Status status;
      while (status.ok() && !open_.empty()) status = CloseFirst({});
      return status;
    }).IgnoreError();
  }

  void Queue(OpenStep& step) {
    telemetry_->Queue(step.rows, step.distribution, step.chosen, step.logprob);
    step.rows.reset();
    step.state = OpenStep::kQueued;
  }

  void Take(OpenStep& step) {
    step.record = telemetry_->Take();
    step.state = OpenStep::kTaken;
  }

  // Hands on the first open step with what its lanes gave, where the run has
  // any.
  absl::Status CloseFirst(const at::Tensor& lanes) {
    OpenStep step = std::move(open_.front());
    open_.pop_front();
    if (step.state == OpenStep::kSeen) Queue(step);
    if (step.state == OpenStep::kQueued) Take(step);
    step.record.token = std::move(step.token);
    NameLostTokens(step.record);
    if (!config_.gaps.empty()) {
      ASSIGN_OR_RETURN(
          step.record.gaps,
          CompareGaps(step.logits, step.distribution, lanes, step.chosen));
      for (size_t i = 0; i < lane_texts_.size(); ++i) {
        const int64_t token = step.record.gaps[i].token_id;
        lane_texts_[i].Push(token, IsEos(token) && !config_.ignore_eos);
      }
    }
    const absl::Status taken = sink_(std::move(step.record), absl::Now());
    is_refused_ = !taken.ok();
    return taken;
  }

  void NameLostTokens(StepRecord& record) const {
    for (RecallRecord& recall : record.recalls)
      for (LostPosition& lost : recall.lost)
        lost.token =
            tokenizer_.Decode({&text_[static_cast<size_t>(lost.position)], 1},
                              /*skip_special_tokens=*/false);
  }

  // A pass has ended, and the next may begin.
  void TellPass(EnginePhase phase) {
    if (!timer_) return;
    const Clock::time_point now = Clock::now();
    timer_(phase, absl::FromChrono(now - pass_began_));
    pass_began_ = now;
  }

  absl::Status CheckCancelled() const {
    if (sample_.lease.cancelled != nullptr && sample_.lease.cancelled->load())
      return absl::CancelledError("the run was cancelled");
    if (stop_.load()) return absl::CancelledError("the server is stopping");
    return absl::OkStatus();
  }

  // y_t.
  int64_t Choose(int64_t t, const at::Tensor& logits,
                 const TokenDistribution& distribution) const {
    if (forced()) return forced_tokens_[static_cast<size_t>(t - 1)];
    if (t > 1 || !sample_.task->ends_at_newline || !IsEos(distribution.best))
      return distribution.best;
    at::Tensor allowed = logits.clone();
    for (const int64_t token : end_tokens_)
      allowed[token] = -std::numeric_limits<float>::infinity();
    return GreedyToken(allowed);
  }

  // Whether the token ends the text.
  bool IsEos(int64_t token) const {
    return std::find(end_tokens_.begin(), end_tokens_.end(), token) !=
           end_tokens_.end();
  }

  Model& model_;
  const PreparedSample& sample_;
  const RunConfig& config_;
  const std::atomic<bool>& stop_;
  const EventSink& sink_;
  const PassTimer& timer_;
  const std::vector<int64_t> end_tokens_;
  const Tokenizer& tokenizer_;
  std::vector<int64_t> text_;  // what has been fed: the token at each position
  IncrementalDecoder decoder_;
  std::vector<LaneText> lane_texts_;
  std::vector<int64_t> forced_tokens_;
  std::unique_ptr<Sequence> sequence_;
  std::unique_ptr<SampleTelemetry> telemetry_;
  std::deque<OpenStep> open_;  // two at most, the older first
  bool is_refused_ = false;    // a step was not taken: none may follow it
  SampleResult result_;
  Clock::time_point pass_began_;
};

}  // namespace

uint64_t SampleKey64(const PreparedSample& sample, const ModelInfo& model) {
  Sha256 hash;
  hash.AddField(sample.lease.config.task);
  hash.AddField(sample.lease.sample.id);
  hash.AddField(sample.prompt.text);
  hash.AddField(model.digest);
  // Policies, scopes, budgets and gap lanes only look on: whatever else a run
  // measures, and however it is written, `random` draws the same.
  RunConfig text = sample.lease.config;
  text.policies.clear();
  text.scopes.clear();
  text.budgets.clear();
  text.gaps.clear();
  hash.AddField(ConfigToJson(text).dump());
  return std::stoull(hash.HexDigest().substr(0, 16), nullptr, 16);
}

absl::Status RunSample(Model& model, const Tokenizer& tokenizer,
                       const PreparedSample& sample,
                       const std::atomic<bool>& stop, const EventSink& sink,
                       const PassTimer& timer) {
  // Telemetry works with libtorch too: what it throws is the sample's failure,
  // and no gradient is kept of what it does.
  return CatchTorch([&] {
    const c10::InferenceMode guard;
    return SampleRun(model, tokenizer, sample, stop, sink, timer).Run();
  });
}

SampleFailure FailureOf(const absl::Status& status) {
  std::string reason = "ENGINE_ERROR";
  if (absl::IsResourceExhausted(status)) reason = "OUT_OF_MEMORY";
  if (absl::IsDataLoss(status)) reason = "NONFINITE_LOGITS";
  if (absl::IsOutOfRange(status)) reason = "PROMPT_TOO_LONG";
  if (absl::IsInvalidArgument(status)) reason = "BAD_PROMPT";
  return {reason, std::string(status.message())};
}

}  // namespace kvrecall
