#include "common/records_db/event_detail.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/record/json_number.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const StepRecord&) { return Json::object(); }

Json ToJson(const SampleStart& start) {
  return {{"prompt_tokens", start.prompt_tokens},
          {"raw_prompt_tokens", start.raw_prompt_tokens},
          {"truncated", start.truncated},
          {"queue_seconds", start.queue_seconds},
          {"length", start.length},
          {"reused_from", start.reused_from}};
}

Json ToJson(const SampleResult& result) {
  return {{"generated_tokens", result.generated_tokens},
          {"text", result.text},
          {"score", result.score ? Json(*result.score) : Json()},
          {"finish_reason", FinishReasonName(result.finish_reason)},
          {"prefill_seconds", result.prefill_seconds},
          {"decode_seconds", result.decode_seconds},
          {"gap_scores", result.gap_scores}};
}

Json ToJson(const SampleFailure& failure) {
  return {{"reason", failure.reason}, {"message", failure.message}};
}

Json ToJson(const RunEnd& end) {
  return {{"state", RunStateName(end.state)},
          {"samples_done", end.samples_done},
          {"samples_failed", end.samples_failed}};
}

SampleStart StartFrom(const Json& json) {
  SampleStart start;
  start.prompt_tokens = WholeFrom(json.at("prompt_tokens"));
  start.raw_prompt_tokens = WholeFrom(json.at("raw_prompt_tokens"));
  json.at("truncated").get_to(start.truncated);
  json.at("queue_seconds").get_to(start.queue_seconds);
  // Not in databases that were written before it was recorded.
  if (json.contains("length")) start.length = WholeFrom(json.at("length"));
  start.reused_from = json.value("reused_from", "");
  return start;
}

absl::StatusOr<EventBody> ResultFrom(const Json& json) {
  SampleResult result;
  result.generated_tokens = WholeFrom(json.at("generated_tokens"));
  json.at("text").get_to(result.text);
  if (const Json& score = json.at("score"); !score.is_null()) {
    result.score = score.get<double>();
  }
  ASSIGN_OR_RETURN(
      result.finish_reason,
      ParseFinishReason(json.at("finish_reason").get<std::string>()));
  json.at("prefill_seconds").get_to(result.prefill_seconds);
  json.at("decode_seconds").get_to(result.decode_seconds);
  // Not in databases that were written before there were gap lanes.
  if (const auto scores = json.find("gap_scores"); scores != json.end()) {
    scores->get_to(result.gap_scores);
  }
  return result;
}

SampleFailure FailureFrom(const Json& json) {
  SampleFailure failure;
  json.at("reason").get_to(failure.reason);
  json.at("message").get_to(failure.message);
  return failure;
}

absl::StatusOr<EventBody> EndFrom(const Json& json) {
  RunEnd end;
  ASSIGN_OR_RETURN(end.state,
                   ParseRunState(json.at("state").get<std::string>()));
  end.samples_done = WholeFrom(json.at("samples_done"));
  end.samples_failed = WholeFrom(json.at("samples_failed"));
  return end;
}

absl::StatusOr<EventBody> BodyFrom(std::string_view kind, const Json& json) {
  if (kind == "sample_started") return StartFrom(json);
  if (kind == "sample_finished") return ResultFrom(json);
  if (kind == "sample_failed") return FailureFrom(json);
  if (kind == "run_finished") return EndFrom(json);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown kind of event '", OneLine(kind), "'"));
}

struct KindName {
  const char* operator()(const SampleStart&) const { return "sample_started"; }
  const char* operator()(const StepRecord&) const { return "step"; }
  const char* operator()(const SampleResult&) const {
    return "sample_finished";
  }
  const char* operator()(const SampleFailure&) const { return "sample_failed"; }
  const char* operator()(const RunEnd&) const { return "run_finished"; }
};

}  // namespace

const char* EventKind(const EventBody& body) {
  return std::visit(KindName(), body);
}

std::string EventDetailToJson(const EventBody& body) {
  return std::visit([](const auto& value) { return ToJson(value); }, body)
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<EventBody> EventDetailFromJson(std::string_view kind,
                                              std::string_view detail) {
  try {
    return BodyFrom(kind, Json::parse(detail));
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "detail of event '", OneLine(kind), "': ", OneLine(error.what())));
  }
}

std::string NumbersToJson(const std::vector<double>& numbers) {
  return Json(numbers).dump();
}

absl::StatusOr<std::vector<double>> NumbersFromJson(std::string_view text) {
  try {
    return Json::parse(text).get<std::vector<double>>();
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("list of numbers: ", OneLine(error.what())));
  }
}

absl::StatusOr<RunState> ParseRunState(std::string_view name) {
  for (const RunState state :
       {RunState::kQueued, RunState::kRunning, RunState::kSucceeded,
        RunState::kPartiallyFailed, RunState::kFailed, RunState::kCancelled}) {
    if (name == RunStateName(state)) return state;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown state of a run '", OneLine(name), "'"));
}

absl::StatusOr<FinishReason> ParseFinishReason(std::string_view name) {
  for (const FinishReason reason :
       {FinishReason::kEos, FinishReason::kLength}) {
    if (name == FinishReasonName(reason)) return reason;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown finish reason '", OneLine(name), "'"));
}

}  // namespace kvrecall
