#include "server/store/run_queue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/records_db/reader.h"
#include "server/store/record_reuse.h"

namespace kvrecall {
namespace {

// Tokens, before anyone has counted them: English has some four bytes a token.
// It decides only whose turn it is, and how much may wait.
int64_t EstimateCost(const NewSample& sample, int64_t max_new_tokens) {
  constexpr int64_t kBytesPerToken = 4;
  return std::ssize(sample.payload) / kBytesPerToken + max_new_tokens + 1;
}

}  // namespace

absl::StatusOr<std::vector<SubmitOutcome>> RunQueue::Submit(
    const std::string& run_id, const std::vector<NewSample>& samples,
    bool complete, absl::Time now, Changes& changes) {
  ASSIGN_OR_RETURN(const RunRow run, runs_.Find(run_id));
  ASSIGN_OR_RETURN(Room room, RoomFor(run.owner));
  std::vector<SubmitOutcome> outcomes;
  int64_t accepted_tokens = 0;
  int64_t accepted = 0;
  for (const NewSample& sample : samples) {
    ASSIGN_OR_RETURN(const bool is_known, HasSample(run, sample.id));
    if (is_known) {
      outcomes.push_back(SubmitOutcome::kDuplicate);
      continue;
    }
    if (!run.ended) RETURN_IF_ERROR(held_.Check(run_id));
    if (run.ended || run.complete) {
      return absl::FailedPreconditionError(
          absl::StrCat("run '", run_id, "' ",
                       run.ended ? absl::StrCat("has ended (", run.state, ")")
                                 : "was declared complete",
                       "; sample '", sample.id, "' needs a new run"));
    }
    const int64_t cost = EstimateCost(sample, run.max_new_tokens);
    if (room.samples < 1 || room.tokens < cost) {
      // Nor those after it, so that a run's samples keep their order.
      room.samples = 0;
      outcomes.push_back(SubmitOutcome::kQueueFull);
      complete = false;
      continue;
    }
    room.samples -= 1;
    room.tokens -= cost;
    ++accepted;
    accepted_tokens += cost;
    RETURN_IF_ERROR(InsertSample(run, sample, cost, now));
    outcomes.push_back(SubmitOutcome::kAccepted);
  }
  // What ended stays as it is: a repeated call changes nothing. Nor does one of
  // which nothing was taken, and a full queue's many are answered without the
  // disk.
  if (run.ended || (accepted == 0 && !complete)) return outcomes;
  RETURN_IF_ERROR(database_.Run(
      "UPDATE runs SET samples_submitted = samples_submitted + ?2, "
      "complete = complete OR ?3 WHERE id = ?1",
      run.id, accepted, complete));
  changes.waiting += accepted;
  changes.waiting_tokens += accepted_tokens;
  RETURN_IF_ERROR(log_.EndRunIfOver(run.id, now, changes));
  return outcomes;
}

absl::Status RunQueue::Limit(int64_t samples, int64_t tokens,
                             const std::optional<std::string>& owner,
                             Room& room) {
  if (samples == 0 && tokens == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const OpenSamples open, samples_.Open(owner, tokens > 0));
  if (samples > 0)
    room.samples = std::min(room.samples, samples - open.samples);
  if (tokens > 0) room.tokens = std::min(room.tokens, tokens - open.tokens);
  return absl::OkStatus();
}

absl::StatusOr<RunQueue::Room> RunQueue::RoomFor(const std::string& owner) {
  Room room;
  RETURN_IF_ERROR(Limit(limits_.samples, limits_.tokens, std::nullopt, room));
  RETURN_IF_ERROR(
      Limit(limits_.samples_each, limits_.tokens_each, owner, room));
  return room;
}

absl::StatusOr<bool> RunQueue::HasSample(const RunRow& run,
                                         const std::string& id) {
  ASSIGN_OR_RETURN(
      const int64_t count,
      database_.QueryInt(
          "SELECT count(*) FROM samples WHERE run = ?1 AND sample_id = ?2",
          run.id, id));
  return count > 0;
}

absl::StatusOr<int64_t> RunQueue::OrdinalOf(const RunRow& run,
                                            const NewSample& sample) {
  if (sample.ordinal == 0)
    return database_.QueryInt(
        "SELECT coalesce(max(ordinal), 0) + 1 FROM samples WHERE run = ?1",
        run.id);
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare(
          "SELECT sample_id FROM samples WHERE run = ?1 AND ordinal = ?2"));
  RETURN_IF_ERROR(row.Bind(run.id, sample.ordinal));
  ASSIGN_OR_RETURN(const bool is_taken, row.Step());
  if (!is_taken) return sample.ordinal;
  return absl::InvalidArgumentError(absl::StrCat(
      "sample '", sample.id, "' is to have place ", sample.ordinal,
      ", which sample '", std::string(row.Text(0)), "' of the run has"));
}

absl::Status RunQueue::InsertSample(const RunRow& run, const NewSample& sample,
                                    int64_t cost, absl::Time now) {
  ASSIGN_OR_RETURN(const int64_t ordinal, OrdinalOf(run, sample));
  RETURN_IF_ERROR(database_.Run(
      "INSERT INTO samples (run, ordinal, sample_id, state, submitted_us, "
      "owner, cost, record_key) VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6, ?7)",
      run.id, ordinal, sample.id, absl::ToUnixMicros(now), run.owner, cost,
      RecordKey(run.config, run.provenance, sample.digest)));
  return database_.Run(
      "INSERT INTO sample_inputs (sample, payload) VALUES (?1, ?2)",
      database_.LastInsertId(), sample.payload);
}

absl::StatusOr<RunInfo> RunQueue::Cancel(const std::string& run_id,
                                         absl::Time now, Changes& changes) {
  ASSIGN_OR_RETURN(const RunRow run, runs_.Find(run_id));
  if (run.ended) return ReadRun(database_, run_id);
  const int64_t now_us = absl::ToUnixMicros(now);
  Changes of_run;
  ASSIGN_OR_RETURN(const int64_t tokens, log_.QueuedTokens(run.id));
  of_run.waiting_tokens -= tokens;
  RETURN_IF_ERROR(
      database_.Run("UPDATE samples SET state = 'cancelled', ended_us = ?2 "
                    "WHERE run = ?1 AND state = 'queued'",
                    run.id, now_us));
  of_run.waiting -= database_.Changes();
  of_run.ended.cancelled += database_.Changes();
  RETURN_IF_ERROR(
      database_.Run("UPDATE samples SET state = 'cancelled', ended_us = ?2 "
                    "WHERE run = ?1 AND state = 'running'",
                    run.id, now_us));
  of_run.running -= database_.Changes();
  of_run.ended.cancelled += database_.Changes();
  RETURN_IF_ERROR(log_.EndRun(run.id, RunState::kCancelled, now, of_run));
  AddOfRun(run_id, std::move(of_run), changes);
  return ReadRun(database_, run_id);
}

absl::StatusOr<bool> RunQueue::Expire(const std::string& run_id, absl::Time now,
                                      Changes& changes) {
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare("SELECT id, deadline_us - created_us, samples_done "
                        "FROM runs WHERE run_id = ?1 AND ended_us IS NULL"));
  RETURN_IF_ERROR(row.Bind(run_id));
  ASSIGN_OR_RETURN(const bool is_open, row.Step());
  if (!is_open) return false;
  const int64_t run = row.Int(0);
  const SampleFailure failure{
      "DEADLINE_EXCEEDED",
      absl::StrCat("the run's time limit of ",
                   absl::FormatDuration(absl::Microseconds(row.Int(1))),
                   " passed before this sample ended")};
  Changes of_run;
  RETURN_IF_ERROR(log_.FailOpenSamples(run, failure, now, of_run));
  // Not succeeded, even if no sample failed: some may never have come.
  const RunState state =
      row.Int(2) > 0 ? RunState::kPartiallyFailed : RunState::kFailed;
  RETURN_IF_ERROR(log_.EndRun(run, state, now, of_run));
  AddOfRun(run_id, std::move(of_run), changes);
  return true;
}

void RunQueue::AddOfRun(const std::string& run_id, Changes of_run,
                        Changes& changes) const {
  if (!held_.Why(run_id).empty()) {
    of_run.held += std::exchange(of_run.waiting, 0);
    of_run.waiting_tokens = 0;
  }
  changes.Add(of_run);
}

}  // namespace kvrecall
