#include "client/export/json_lines.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

#include "client/export/json_values.h"
#include "common/base/status_macros.h"
#include "common/record/json.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  // Bytes that are not UTF-8 must not end an export.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// The shortest decimal that reads back as the same float, so that 0.3f is
// written as 0.3 and not with a double's seventeen digits.
double ShortestDecimal(float value) {
  char text[32];
  *std::to_chars(text, text + sizeof(text) - 1, value).ptr = '\0';
  return std::strtod(text, nullptr);
}

Json RecallToJson(const RunConfig& config, const Lane& lane,
                  const RecallRecord& record) {
  Json json;
  json["policy"] = config.policies[lane.policy].ToString();
  json["scope"] = std::string(ScopeName(config.scopes[lane.scope]));
  json["budget"] = BudgetToJson(config.budgets[lane.budget]);
  json["k"] = record.k;
  json["recall"] = record.recall;
  json["mass"] = record.mass;
  json["mass_ratio"] = record.mass_ratio;
  json["chance"] = record.chance;
  json["lift"] = OrNull(record.lift);
  json["recall_without_free_hits"] = OrNull(record.recall_without_free_hits);
  json["drift"] = OrNull(record.drift);
  json["fetched_back"] = OrNull(record.fetched_back);
  json["layer_recalls"] = Json::array();
  for (float recall : record.layer_recalls) {
    json["layer_recalls"].push_back(ShortestDecimal(recall));
  }
  json["lost"] = Json::array();
  for (const LostPosition& lost : record.lost) {
    json["lost"].push_back({{"position", lost.position},
                            {"weight", ShortestDecimal(lost.weight)},
                            {"token", lost.token}});
  }
  return json;
}

Json GapToJson(const GapSpec& lane, const GapRecord& record) {
  Json json;
  json["lane"] = lane.ToString();
  json["kl"] = record.kl;
  json["entropy_change"] = record.entropy_change;
  json["logprob_change"] = record.logprob_change;
  json["token_id"] = record.token_id;
  json["top1_agrees"] = record.top1_agrees;
  return json;
}

Json TimeToJson(const std::optional<absl::Time>& time) {
  return time ? Json(absl::FormatTime(absl::RFC3339_full, *time,
                                      absl::UTCTimeZone()))
              : Json();
}

}  // namespace

std::string RunLine(const RunInfo& run) {
  Json json;
  json["type"] = "run";
  json["run_id"] = run.run_id;
  json["state"] = RunStateName(run.state);
  json["config"] = ConfigToJson(run.config);
  json["provenance"] = ProvenanceToJson(run.provenance);
  json["samples_submitted"] = run.samples_submitted;
  json["samples_done"] = run.samples_done;
  json["samples_failed"] = run.samples_failed;
  json["complete"] = run.complete;
  json["last_sequence"] = run.last_sequence;
  json["owner"] = run.owner;
  json["create_time"] = TimeToJson(run.create_time);
  json["end_time"] = TimeToJson(run.end_time);
  json["deadline"] = TimeToJson(run.deadline);
  json["held"] = run.held.empty() ? Json() : Json(run.held);
  return Dump(json);
}

absl::StatusOr<std::string> StepLine(const RunConfig& config,
                                     const std::string& sample_id,
                                     const StepRecord& step) {
  const std::vector<Lane> lanes = Lanes(config);
  if (step.recalls.size() != lanes.size()) {
    return absl::DataLossError(absl::StrCat(
        "sample ", sample_id, ", step ", step.step, " has ",
        step.recalls.size(), " recalls; its run has ", lanes.size(),
        " combinations of policy, scope and budget"));
  }
  if (step.gaps.size() != config.gaps.size()) {
    return absl::DataLossError(absl::StrCat(
        "sample ", sample_id, ", step ", step.step, " has ", step.gaps.size(),
        " gaps; its run has ", config.gaps.size(), " gap lanes"));
  }
  Json json;
  json["type"] = "step";
  json["sample_id"] = sample_id;
  json["step"] = step.step;
  json["n"] = step.n;
  json["token_id"] = step.token_id;
  json["token"] = step.token;
  json["entropy"] = step.entropy;
  json["logprob"] = step.logprob;
  json["p_max"] = step.p_max;
  json["margin"] = step.margin;
  json["attention_entropy"] = step.attention_entropy;
  json["attention_entropy_std"] = step.attention_entropy_std;
  json["recalls"] = Json::array();
  for (size_t i = 0; i < lanes.size(); ++i) {
    json["recalls"].push_back(RecallToJson(config, lanes[i], step.recalls[i]));
  }
  json["gaps"] = Json::array();
  for (size_t i = 0; i < step.gaps.size(); ++i) {
    json["gaps"].push_back(GapToJson(config.gaps[i], step.gaps[i]));
  }
  return Dump(json);
}

JsonLinesWriter::JsonLinesWriter(std::ostream& out, RunInfo run,
                                 std::map<std::string, int64_t> last_attempts)
    : out_(out),
      run_(std::move(run)),
      last_attempts_(std::move(last_attempts)) {
  out_ << RunLine(run_);
}

absl::Status JsonLinesWriter::Add(const Event& event) {
  if (std::holds_alternative<RunEnd>(event.body)) return CheckOutput();
  const auto attempt = last_attempts_.find(event.sample_id);
  if (attempt != last_attempts_.end() && attempt->second != event.attempt) {
    return absl::OkStatus();
  }
  const auto [entry, is_new] = in_progress_.try_emplace(event.sample_id);
  if (is_new) order_.push_back(event.sample_id);
  Sample& sample = entry->second;
  if (const auto* start = std::get_if<SampleStart>(&event.body)) {
    sample.start = *start;
  } else if (const auto* step = std::get_if<StepRecord>(&event.body)) {
    ASSIGN_OR_RETURN(std::string line,
                     StepLine(run_.config, event.sample_id, *step));
    sample.steps += line;
    ++sample.generated;
  } else {
    RETURN_IF_ERROR(WriteSample(event, sample));
    order_.erase(std::find(order_.begin(), order_.end(), event.sample_id));
    in_progress_.erase(entry);
  }
  return absl::OkStatus();
}

absl::Status JsonLinesWriter::Finish() {
  for (const std::string& sample_id : order_) {
    Event unfinished;
    unfinished.sample_id = sample_id;
    const auto attempt = last_attempts_.find(sample_id);
    if (attempt != last_attempts_.end()) unfinished.attempt = attempt->second;
    const Sample& sample = in_progress_[sample_id];
    unfinished.body = sample.start;
    RETURN_IF_ERROR(WriteSample(unfinished, sample));
  }
  out_.flush();
  return CheckOutput();
}

absl::Status JsonLinesWriter::WriteSample(const Event& last,
                                          const Sample& sample) {
  const auto* result = std::get_if<SampleResult>(&last.body);
  const auto* failure = std::get_if<SampleFailure>(&last.body);
  Json json;
  json["type"] = "sample";
  json["sample_id"] = last.sample_id;
  json["task"] = run_.config.task;
  json["prompt_tokens"] = sample.start.prompt_tokens;
  json["generated_tokens"] =
      result != nullptr ? result->generated_tokens : sample.generated;
  json["text"] = result != nullptr ? Json(result->text) : Json();
  json["score"] = result != nullptr ? OrNull(result->score) : Json();
  json["finish_reason"] = result != nullptr
                              ? Json(FinishReasonName(result->finish_reason))
                              : Json();
  json["state"] = result != nullptr    ? "done"
                  : failure != nullptr ? "failed"
                                       : "unfinished";
  json["attempt"] = last.attempt;
  json["raw_prompt_tokens"] = sample.start.raw_prompt_tokens;
  json["truncated"] = sample.start.truncated;
  json["queue_seconds"] = sample.start.queue_seconds;
  json["length"] = sample.start.length;
  json["reused_from"] = sample.start.reused_from;
  if (result != nullptr) {
    json["prefill_seconds"] = result->prefill_seconds;
    json["decode_seconds"] = result->decode_seconds;
    json["gap_scores"] = result->gap_scores;
  }
  if (failure != nullptr) {
    json["reason"] = failure->reason;
    json["message"] = failure->message;
  }
  out_ << Dump(json) << sample.steps;
  return CheckOutput();
}

absl::Status JsonLinesWriter::CheckOutput() const {
  if (out_.good()) return absl::OkStatus();
  return absl::ResourceExhaustedError("the output cannot be written");
}

}  // namespace kvrecall
