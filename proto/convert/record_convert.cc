#include "proto/convert/record_convert.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "proto/convert/field.h"

namespace kvrecall {
namespace {

// Writes one alternative of Event::body into the message's oneof.
class BodyWriter {
 public:
  explicit BodyWriter(v1::Event* message) : message_(message) {}

  void operator()(const SampleStart& start) {
    v1::SampleStarted* to = message_->mutable_sample_started();
    to->set_prompt_tokens(start.prompt_tokens);
    to->set_raw_prompt_tokens(start.raw_prompt_tokens);
    to->set_truncated(start.truncated);
    to->set_queue_seconds(start.queue_seconds);
    to->set_length(start.length);
    to->set_reused_from(start.reused_from);
  }

  void operator()(const StepRecord& step) {
    *message_->mutable_step() = ToProto(step);
  }

  void operator()(const SampleResult& result) {
    v1::SampleFinished* to = message_->mutable_sample_finished();
    to->set_generated_tokens(result.generated_tokens);
    to->set_text(result.text);
    if (result.score) to->set_score(*result.score);
    to->set_finish_reason(ToProto(result.finish_reason));
    to->set_prefill_seconds(result.prefill_seconds);
    to->set_decode_seconds(result.decode_seconds);
    to->mutable_gap_scores()->Add(result.gap_scores.begin(),
                                  result.gap_scores.end());
  }

  void operator()(const SampleFailure& failure) {
    v1::SampleFailed* to = message_->mutable_sample_failed();
    to->set_reason(failure.reason);
    to->set_message(failure.message);
  }

  void operator()(const RunEnd& end) {
    v1::RunFinished* to = message_->mutable_run_finished();
    to->set_state(ToProto(end.state));
    to->set_samples_done(end.samples_done);
    to->set_samples_failed(end.samples_failed);
  }

 private:
  v1::Event* message_;
};

SampleStart ReadStarted(const v1::SampleStarted& from) {
  SampleStart start;
  start.prompt_tokens = from.prompt_tokens();
  start.raw_prompt_tokens = from.raw_prompt_tokens();
  start.truncated = from.truncated();
  start.queue_seconds = from.queue_seconds();
  start.length = from.length();
  start.reused_from = from.reused_from();
  return start;
}

absl::StatusOr<SampleResult> ReadFinished(const v1::SampleFinished& from,
                                          std::string_view field) {
  SampleResult result;
  result.generated_tokens = from.generated_tokens();
  result.text = from.text();
  if (from.has_score()) result.score = from.score();
  ASSIGN_OR_RETURN(
      result.finish_reason,
      FromProto(from.finish_reason(), FieldPath(field, "finish_reason")));
  result.prefill_seconds = from.prefill_seconds();
  result.decode_seconds = from.decode_seconds();
  result.gap_scores.assign(from.gap_scores().begin(), from.gap_scores().end());
  return result;
}

absl::StatusOr<RunEnd> ReadRunEnd(const v1::RunFinished& from,
                                  std::string_view field) {
  RunEnd end;
  ASSIGN_OR_RETURN(end.state,
                   FromProto(from.state(), FieldPath(field, "state")));
  end.samples_done = from.samples_done();
  end.samples_failed = from.samples_failed();
  return end;
}

}  // namespace

v1::RunState ToProto(RunState state) {
  switch (state) {
    case RunState::kQueued:
      return v1::RUN_STATE_QUEUED;
    case RunState::kRunning:
      return v1::RUN_STATE_RUNNING;
    case RunState::kSucceeded:
      return v1::RUN_STATE_SUCCEEDED;
    case RunState::kPartiallyFailed:
      return v1::RUN_STATE_PARTIALLY_FAILED;
    case RunState::kFailed:
      return v1::RUN_STATE_FAILED;
    case RunState::kCancelled:
      return v1::RUN_STATE_CANCELLED;
  }
  return v1::RUN_STATE_UNSPECIFIED;
}

absl::StatusOr<RunState> FromProto(v1::RunState state, std::string_view field) {
  switch (state) {
    case v1::RUN_STATE_QUEUED:
      return RunState::kQueued;
    case v1::RUN_STATE_RUNNING:
      return RunState::kRunning;
    case v1::RUN_STATE_SUCCEEDED:
      return RunState::kSucceeded;
    case v1::RUN_STATE_PARTIALLY_FAILED:
      return RunState::kPartiallyFailed;
    case v1::RUN_STATE_FAILED:
      return RunState::kFailed;
    case v1::RUN_STATE_CANCELLED:
      return RunState::kCancelled;
    default:
      return FieldError(field, absl::StrCat("unknown run state ", state));
  }
}

v1::FinishReason ToProto(FinishReason reason) {
  return reason == FinishReason::kEos ? v1::FINISH_REASON_EOS
                                      : v1::FINISH_REASON_LENGTH;
}

absl::StatusOr<FinishReason> FromProto(v1::FinishReason reason,
                                       std::string_view field) {
  if (reason == v1::FINISH_REASON_EOS) return FinishReason::kEos;
  if (reason == v1::FINISH_REASON_LENGTH) return FinishReason::kLength;
  return FieldError(field, absl::StrCat("unknown finish reason ", reason));
}

v1::RecallRecord ToProto(const RecallRecord& record) {
  v1::RecallRecord message;
  message.set_k(record.k);
  message.set_recall(record.recall);
  message.set_chance(record.chance);
  if (record.lift) message.set_lift(*record.lift);
  message.set_mass(record.mass);
  message.set_mass_ratio(record.mass_ratio);
  message.mutable_layer_recalls()->Add(record.layer_recalls.begin(),
                                       record.layer_recalls.end());
  if (record.recall_without_free_hits)
    message.set_recall_without_free_hits(*record.recall_without_free_hits);
  if (record.drift) message.set_drift(*record.drift);
  if (record.fetched_back) message.set_fetched_back(*record.fetched_back);
  for (const LostPosition& lost : record.lost) {
    v1::LostPosition* to = message.add_lost();
    to->set_position(lost.position);
    to->set_weight(lost.weight);
    to->set_token(lost.token);
  }
  return message;
}

RecallRecord FromProto(const v1::RecallRecord& message) {
  RecallRecord record;
  record.k = message.k();
  record.recall = message.recall();
  record.chance = message.chance();
  if (message.has_lift()) record.lift = message.lift();
  record.mass = message.mass();
  record.mass_ratio = message.mass_ratio();
  record.layer_recalls.assign(message.layer_recalls().begin(),
                              message.layer_recalls().end());
  if (message.has_recall_without_free_hits())
    record.recall_without_free_hits = message.recall_without_free_hits();
  if (message.has_drift()) record.drift = message.drift();
  if (message.has_fetched_back()) record.fetched_back = message.fetched_back();
  for (const v1::LostPosition& lost : message.lost())
    record.lost.push_back({lost.position(), lost.weight(), lost.token()});
  return record;
}

v1::GapRecord ToProto(const GapRecord& record) {
  v1::GapRecord message;
  message.set_kl(record.kl);
  message.set_entropy_change(record.entropy_change);
  message.set_logprob_change(record.logprob_change);
  message.set_token_id(record.token_id);
  message.set_top1_agrees(record.top1_agrees);
  return message;
}

GapRecord FromProto(const v1::GapRecord& message) {
  GapRecord record;
  record.kl = message.kl();
  record.entropy_change = message.entropy_change();
  record.logprob_change = message.logprob_change();
  record.token_id = message.token_id();
  record.top1_agrees = message.top1_agrees();
  return record;
}

v1::StepRecord ToProto(const StepRecord& record) {
  v1::StepRecord message;
  message.set_step(record.step);
  message.set_n(record.n);
  message.set_token_id(record.token_id);
  message.set_token(record.token);
  message.set_entropy(record.entropy);
  message.set_logprob(record.logprob);
  message.set_p_max(record.p_max);
  message.set_margin(record.margin);
  message.set_attention_entropy(record.attention_entropy);
  message.set_attention_entropy_std(record.attention_entropy_std);
  for (const RecallRecord& recall : record.recalls)
    *message.add_recalls() = ToProto(recall);
  for (const GapRecord& gap : record.gaps) *message.add_gaps() = ToProto(gap);
  return message;
}

StepRecord FromProto(const v1::StepRecord& message) {
  StepRecord record;
  record.step = message.step();
  record.n = message.n();
  record.token_id = message.token_id();
  record.token = message.token();
  record.entropy = message.entropy();
  record.logprob = message.logprob();
  record.p_max = message.p_max();
  record.margin = message.margin();
  record.attention_entropy = message.attention_entropy();
  record.attention_entropy_std = message.attention_entropy_std();
  record.recalls.reserve(message.recalls_size());
  for (const v1::RecallRecord& recall : message.recalls())
    record.recalls.push_back(FromProto(recall));
  record.gaps.reserve(message.gaps_size());
  for (const v1::GapRecord& gap : message.gaps())
    record.gaps.push_back(FromProto(gap));
  return record;
}

v1::Event ToProto(const Event& event) {
  v1::Event message;
  message.set_sequence(event.sequence);
  message.set_sample_id(event.sample_id);
  message.set_attempt(event.attempt);
  std::visit(BodyWriter(&message), event.body);
  return message;
}

absl::StatusOr<Event> FromProto(const v1::Event& message,
                                std::string_view field) {
  Event event;
  event.sequence = message.sequence();
  event.sample_id = message.sample_id();
  event.attempt = message.attempt();
  switch (message.body_case()) {
    case v1::Event::kSampleStarted:
      event.body = ReadStarted(message.sample_started());
      return event;
    case v1::Event::kStep:
      event.body = FromProto(message.step());
      return event;
    case v1::Event::kSampleFinished: {
      ASSIGN_OR_RETURN(event.body,
                       ReadFinished(message.sample_finished(),
                                    FieldPath(field, "sample_finished")));
      return event;
    }
    case v1::Event::kSampleFailed:
      event.body = SampleFailure{message.sample_failed().reason(),
                                 message.sample_failed().message()};
      return event;
    case v1::Event::kRunFinished: {
      ASSIGN_OR_RETURN(
          event.body,
          ReadRunEnd(message.run_finished(), FieldPath(field, "run_finished")));
      return event;
    }
    case v1::Event::BODY_NOT_SET:
      break;
  }
  return FieldError(FieldPath(field, "body"),
                    "is not set, or of a kind that this program does not know");
}

}  // namespace kvrecall
