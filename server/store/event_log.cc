#include "server/store/event_log.h"

#include <bit>
#include <optional>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/record/finite.h"
#include "common/records_db/event_detail.h"
#include "common/records_db/lost_json.h"

namespace kvrecall {
namespace {

static_assert(std::endian::native == std::endian::little,
              "layer_recalls are kept as little-endian floats");

std::optional<Blob> FloatsBlob(const std::vector<float>& floats) {
  if (floats.empty()) return std::nullopt;
  return Blob{{reinterpret_cast<const char*>(floats.data()),
               floats.size() * sizeof(float)}};
}

std::optional<std::string> GapScores(const SampleResult& result) {
  if (result.gap_scores.empty()) return std::nullopt;
  return NumbersToJson(result.gap_scores);
}

std::optional<std::string> Lost(const RecallRecord& recall) {
  if (recall.lost.empty()) return std::nullopt;
  return LostToJson(recall.lost);
}

bool IsFinite(const SampleStart& s) { return AllFinite(s.queue_seconds); }

bool IsFinite(const SampleResult& r) {
  for (const double score : r.gap_scores) {
    if (!AllFinite(score)) return false;
  }
  return AllFinite(r.score.value_or(0), r.prefill_seconds, r.decode_seconds);
}

bool IsFinite(const SampleFailure&) { return true; }
bool IsFinite(const RunEnd&) { return true; }

bool IsEnd(const Event& event) {
  return std::holds_alternative<SampleResult>(event.body) ||
         std::holds_alternative<SampleFailure>(event.body);
}

}  // namespace

void Changes::Add(const Changes& other) {
  events += other.events;
  waiting += other.waiting;
  running += other.running;
  waiting_tokens += other.waiting_tokens;
  held += other.held;
  ended.Add(other.ended);
  runs.insert(runs.end(), other.runs.begin(), other.runs.end());
  appended.insert(appended.end(), other.appended.begin(), other.appended.end());
}

absl::Status CheckEvents(const std::vector<Event>& events, size_t lanes,
                         size_t gaps) {
  for (const Event& event : events) {
    const char* kind = EventKind(event.body);
    if (std::holds_alternative<RunEnd>(event.body)) {
      return absl::InvalidArgumentError(
          "event 'run_finished' is appended by the store alone");
    }
    if (IsEnd(event) && &event != &events.back()) {
      return absl::InvalidArgumentError(
          absl::StrCat("event '", kind, "' is not the last of its sample"));
    }
    if (!std::visit([](const auto& body) { return IsFinite(body); },
                    event.body)) {
      return absl::InvalidArgumentError(
          absl::StrCat("event '", kind, "' has a number that is not finite"));
    }
    const auto* step = std::get_if<StepRecord>(&event.body);
    if (step != nullptr && step->recalls.size() != lanes) {
      return absl::InvalidArgumentError(
          absl::StrCat("step ", step->step, " has ", step->recalls.size(),
                       " recalls; expected one for each of ", lanes, " lanes"));
    }
    if (step != nullptr && step->gaps.size() != gaps) {
      return absl::InvalidArgumentError(
          absl::StrCat("step ", step->step, " has ", step->gaps.size(),
                       " gaps; expected one for each of ", gaps, " gap lanes"));
    }
    const auto* result = std::get_if<SampleResult>(&event.body);
    if (result != nullptr && !result->gap_scores.empty() &&
        result->gap_scores.size() != gaps) {
      return absl::InvalidArgumentError(
          absl::StrCat("a result has ", result->gap_scores.size(),
                       " gap scores; expected none, or one for each of ", gaps,
                       " gap lanes"));
    }
  }
  return absl::OkStatus();
}

bool EndsSample(const std::vector<Event>& events) {
  return !events.empty() && IsEnd(events.back());
}

absl::Status EventLog::Append(
    const LeaseKey& key, std::shared_ptr<const RunConfig> config,
    std::shared_ptr<const std::vector<Event>> appended, absl::Time now,
    Changes& changes) {
  const std::vector<Event>& events = *appended;
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare(
          "SELECT runs.run_id, runs.last_sequence, samples.state = 'running' "
          "AND samples.attempt = ?2, samples.recorded_attempt, "
          "runs.ended_us IS NOT NULL, samples.sample_id FROM samples "
          "JOIN runs ON runs.id = samples.run WHERE samples.id = ?1"));
  RETURN_IF_ERROR(row.Bind(key.sample, key.attempt));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (found && row.Int(4) != 0) return absl::OkStatus();
  if (!found || row.Int(2) == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "events for a sample that is not leased (attempt ", key.attempt, ")"));
  }
  if (row.Int(3) != key.attempt) {
    RETURN_IF_ERROR(
        database_.Run("UPDATE samples SET recorded_attempt = ?2 WHERE id = ?1",
                      key.sample, key.attempt));
  }
  int64_t sequence = row.Int(1);
  changes.runs.emplace_back(row.Text(0));
  changes.appended.push_back({changes.runs.back(), std::string(row.Text(5)),
                              key.attempt, sequence + 1, std::move(appended),
                              std::move(config)});
  for (const Event& event : events) {
    ++sequence;
    if (const auto* step = std::get_if<StepRecord>(&event.body)) {
      RETURN_IF_ERROR(AppendStep(key, sequence, *step));
    } else {
      RETURN_IF_ERROR(AppendOther(key, sequence, event));
    }
    if (const auto* start = std::get_if<SampleStart>(&event.body)) {
      RETURN_IF_ERROR(Record(key, *start));
    } else if (const auto* result = std::get_if<SampleResult>(&event.body)) {
      RETURN_IF_ERROR(Record(key, *result, now));
    } else if (const auto* failure = std::get_if<SampleFailure>(&event.body)) {
      RETURN_IF_ERROR(Record(key, *failure, now));
    }
  }
  RETURN_IF_ERROR(database_.Run(
      "UPDATE runs SET last_sequence = ?2 WHERE id = ?1", key.run, sequence));
  changes.events += static_cast<int64_t>(events.size());
  if (!EndsSample(events)) return absl::OkStatus();
  changes.running -= 1;
  const auto* result = std::get_if<SampleResult>(&events.back().body);
  if (result == nullptr)
    changes.ended.failed += 1;
  else if (result->finish_reason == FinishReason::kEos)
    changes.ended.ok += 1;
  else
    changes.ended.length += 1;
  return EndRunIfOver(key.run, now, changes);
}

absl::Status EventLog::AppendStep(const LeaseKey& key, int64_t sequence,
                                  const StepRecord& step) {
  RETURN_IF_ERROR(database_.Run(
      "INSERT INTO steps (run, sequence, sample, attempt, step, n, token_id, "
      "token, entropy, logprob, p_max, margin, attention_entropy, "
      "attention_entropy_std) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
      key.run, sequence, key.sample, key.attempt, step.step, step.n,
      step.token_id, step.token, step.entropy, step.logprob, step.p_max,
      step.margin, step.attention_entropy, step.attention_entropy_std));
  ASSIGN_OR_RETURN(
      Statement insert,
      database_.Prepare(
          "INSERT INTO step_recalls (run, sequence, lane, k, recall, chance, "
          "lift, mass, mass_ratio, layer_recalls, recall_without_free_hits, "
          "drift, fetched_back, lost) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
          "?9, ?10, ?11, ?12, ?13, ?14)"));
  int64_t lane = 0;
  for (const RecallRecord& r : step.recalls) {
    RETURN_IF_ERROR(insert.Bind(
        key.run, sequence, lane++, r.k, r.recall, r.chance, r.lift, r.mass,
        r.mass_ratio, FloatsBlob(r.layer_recalls), r.recall_without_free_hits,
        r.drift, r.fetched_back, Lost(r)));
    RETURN_IF_ERROR(insert.Run());
  }
  return AppendGaps(key, sequence, step);
}

absl::Status EventLog::AppendGaps(const LeaseKey& key, int64_t sequence,
                                  const StepRecord& step) {
  if (step.gaps.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      Statement insert,
      database_.Prepare(
          "INSERT INTO step_gaps (run, sequence, gap, kl, entropy_change, "
          "logprob_change, token_id, top1_agrees) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
  int64_t number = 0;
  for (const GapRecord& g : step.gaps) {
    RETURN_IF_ERROR(insert.Bind(key.run, sequence, number++, g.kl,
                                g.entropy_change, g.logprob_change, g.token_id,
                                g.top1_agrees));
    RETURN_IF_ERROR(insert.Run());
  }
  return absl::OkStatus();
}

absl::Status EventLog::AppendOther(const LeaseKey& key, int64_t sequence,
                                   const Event& event) {
  return database_.Run(
      "INSERT INTO sample_events (run, sequence, kind, sample, attempt, "
      "detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
      key.run, sequence, EventKind(event.body), key.sample, key.attempt,
      EventDetailToJson(event.body));
}

absl::Status EventLog::Record(const LeaseKey& key, const SampleStart& start) {
  return database_.Run(
      "UPDATE samples SET prompt_tokens = ?2, raw_prompt_tokens = ?3, "
      "truncated = ?4, queue_seconds = ?5, length = ?6, "
      "reused_from = nullif(?7, '') WHERE id = ?1",
      key.sample, start.prompt_tokens, start.raw_prompt_tokens, start.truncated,
      start.queue_seconds, start.length, start.reused_from);
}

absl::Status EventLog::Record(const LeaseKey& key, const SampleResult& result,
                              absl::Time now) {
  RETURN_IF_ERROR(database_.Run(
      "UPDATE samples SET state = 'done', ended_us = ?2, "
      "generated_tokens = ?3, text = ?4, score = ?5, finish_reason = ?6, "
      "prefill_seconds = ?7, decode_seconds = ?8, gap_scores = ?9 "
      "WHERE id = ?1",
      key.sample, absl::ToUnixMicros(now), result.generated_tokens, result.text,
      result.score, FinishReasonName(result.finish_reason),
      result.prefill_seconds, result.decode_seconds, GapScores(result)));
  return database_.Run(
      "UPDATE runs SET samples_done = samples_done + 1 WHERE id = ?1", key.run);
}

absl::Status EventLog::Record(const LeaseKey& key, const SampleFailure& failure,
                              absl::Time now) {
  RETURN_IF_ERROR(database_.Run(
      "UPDATE samples SET state = 'failed', ended_us = ?2, "
      "error_reason = ?3, error_message = ?4 WHERE id = ?1",
      key.sample, absl::ToUnixMicros(now), failure.reason, failure.message));
  return database_.Run(
      "UPDATE runs SET samples_failed = samples_failed + 1 WHERE id = ?1",
      key.run);
}

absl::StatusOr<int64_t> EventLog::FailSamplesIn(const char* state, int64_t run,
                                                const SampleFailure& failure,
                                                absl::Time now) {
  RETURN_IF_ERROR(database_.Run(
      "UPDATE samples SET state = 'failed', ended_us = ?3, "
      "error_reason = ?4, error_message = ?5, attempt = max(attempt, 1), "
      "recorded_attempt = max(attempt, 1) WHERE run = ?1 AND state = ?2",
      run, state, absl::ToUnixMicros(now), failure.reason, failure.message));
  return database_.Changes();
}

absl::Status EventLog::FailOpenSamples(int64_t run,
                                       const SampleFailure& failure,
                                       absl::Time now, Changes& changes) {
  // Not sample by sample: there may be a hundred thousand.
  RETURN_IF_ERROR(database_.Run(
      "INSERT INTO sample_events (run, sequence, kind, sample, attempt, "
      "detail) SELECT ?1, "
      "runs.last_sequence + row_number() OVER (ORDER BY ordinal), ?2, "
      "samples.id, max(attempt, 1), ?3 FROM samples "
      "JOIN runs ON runs.id = samples.run "
      "WHERE samples.run = ?1 AND samples.state IN ('queued', 'running')",
      run, EventKind(EventBody(failure)),
      EventDetailToJson(EventBody(failure))));
  ASSIGN_OR_RETURN(const int64_t waiting_tokens, QueuedTokens(run));
  ASSIGN_OR_RETURN(const int64_t waiting,
                   FailSamplesIn("queued", run, failure, now));
  ASSIGN_OR_RETURN(const int64_t running,
                   FailSamplesIn("running", run, failure, now));
  const int64_t failed = waiting + running;
  changes.waiting -= waiting;
  changes.running -= running;
  changes.waiting_tokens -= waiting_tokens;
  changes.ended.deadline += failed;
  changes.events += failed;
  return database_.Run(
      "UPDATE runs SET last_sequence = last_sequence + ?2, "
      "samples_failed = samples_failed + ?2 WHERE id = ?1",
      run, failed);
}

absl::StatusOr<int64_t> EventLog::QueuedTokens(int64_t run) {
  return database_.QueryInt(
      "SELECT coalesce(sum(cost), 0) FROM samples "
      "WHERE run = ?1 AND state = 'queued'",
      run);
}

absl::Status EventLog::EndRunIfOver(int64_t run, absl::Time now,
                                    Changes& changes) {
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare(
          "SELECT samples_submitted, samples_done, samples_failed FROM runs "
          "WHERE id = ?1 AND complete = 1 AND ended_us IS NULL "
          "AND samples_done + samples_failed = samples_submitted"));
  RETURN_IF_ERROR(row.Bind(run));
  ASSIGN_OR_RETURN(const bool over, row.Step());
  if (!over) return absl::OkStatus();
  const int64_t done = row.Int(1);
  const int64_t failed = row.Int(2);
  RunState state = RunState::kPartiallyFailed;
  if (failed == 0) state = RunState::kSucceeded;
  if (failed != 0 && done == 0) state = RunState::kFailed;
  return EndRun(run, state, now, changes);
}

absl::Status EventLog::EndRun(int64_t run, RunState state, absl::Time now,
                              Changes& changes) {
  RETURN_IF_ERROR(
      database_.Run("UPDATE runs SET state = ?2, ended_us = ?3, "
                    "last_sequence = last_sequence + 1 WHERE id = ?1",
                    run, RunStateName(state), absl::ToUnixMicros(now)));
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare("SELECT run_id, last_sequence, samples_done, "
                        "samples_failed FROM runs WHERE id = ?1"));
  RETURN_IF_ERROR(row.Bind(run));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::InternalError("a run to be ended does not exist");
  const RunEnd end{state, row.Int(2), row.Int(3)};
  changes.runs.emplace_back(row.Text(0));
  changes.appended.push_back({changes.runs.back(), "", 1, row.Int(1),
                              std::make_shared<const std::vector<Event>>(
                                  std::vector<Event>{{row.Int(1), "", 1, end}}),
                              /*config=*/nullptr});
  changes.events += 1;
  return database_.Run(
      "INSERT INTO sample_events (run, sequence, kind, sample, attempt, "
      "detail) VALUES (?1, ?2, ?3, NULL, 1, ?4)",
      run, row.Int(1), EventKind(EventBody(end)),
      EventDetailToJson(EventBody(end)));
}

}  // namespace kvrecall
