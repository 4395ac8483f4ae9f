#include "server/store/run_queue.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/record/json.h"
#include "common/records_db/reader.h"
#include "server/store/record_reuse.h"
#include "server/store/run_deletion.h"

namespace kvrecall {
namespace {

const char* BudgetKindName(Budget::Kind kind) {
  switch (kind) {
    case Budget::Kind::kCurrentRatio:
      return "current_ratio";
    case Budget::Kind::kPromptRatio:
      return "prompt_ratio";
    case Budget::Kind::kTokens:
      return "tokens";
  }
  return "";
}

// Tokens, before anyone has counted them: English has some four bytes a token.
// It decides only whose turn it is, and how much may wait.
int64_t EstimateCost(const NewSample& sample, int64_t max_new_tokens) {
  constexpr int64_t kBytesPerToken = 4;
  return std::ssize(sample.payload) / kBytesPerToken + max_new_tokens + 1;
}

// To the microsecond, as the database has it, and never before its time.
std::optional<int64_t> DeadlineMicros(absl::Time now, absl::Duration limit) {
  if (limit == absl::InfiniteDuration()) return std::nullopt;
  return absl::ToUnixMicros(now) +
         absl::ToInt64Microseconds(absl::Ceil(limit, absl::Microseconds(1)));
}

}  // namespace

absl::Status RunQueue::Recover(absl::Time now) {
  RETURN_IF_ERROR(database_.Run("INSERT INTO epochs (opened_us) VALUES (?1)",
                                absl::ToUnixMicros(now)));
  epoch_ = database_.LastInsertId();
  // Those that were only waiting for their turn had no part in it. Where none
  // is known to have started, it was the first of them, before its first event
  // was on disk.
  constexpr char kCrashed[] = "UPDATE samples SET crashes = crashes + 1 WHERE ";
  RETURN_IF_ERROR(database_.Run(absl::StrCat(
      kCrashed, "state = 'running' AND recorded_attempt = attempt")));
  if (database_.Changes() == 0) {
    RETURN_IF_ERROR(database_.Run(absl::StrCat(
        kCrashed,
        "id = (SELECT min(id) FROM samples WHERE state = 'running')")));
  }
  Changes changes;  // nobody is there yet to be told
  RETURN_IF_ERROR(FailPoison(now, changes));
  return database_.Run(
      "UPDATE samples SET state = 'queued', "
      "attempt = attempt - (recorded_attempt <> attempt) "
      "WHERE state = 'running'");
}

absl::Status RunQueue::FailPoison(absl::Time now, Changes& changes) {
  std::vector<LeaseKey> poison;
  {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare("SELECT run, id, attempt FROM samples "
                          "WHERE state = 'running' AND crashes >= ?1"));
    RETURN_IF_ERROR(row.Bind(kMostCrashes));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      poison.push_back({row.Int(0), row.Int(1), row.Int(2)});
    }
  }
  for (const LeaseKey& key : poison) {
    Event event;
    event.body = SampleFailure{
        "SERVER_DIED",
        absl::StrCat("the server ended ", kMostCrashes,
                     " times while it ran this sample; it is not tried again")};
    RETURN_IF_ERROR(log_.Append(
        key, /*config=*/nullptr,
        std::make_shared<const std::vector<Event>>(std::vector{event}), now,
        changes));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RunInfo>> RunQueue::OpenRuns() {
  std::vector<std::string> ids;
  {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT run_id FROM runs WHERE ended_us IS NULL ORDER BY id"));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      ids.emplace_back(row.Text(0));
    }
  }
  std::vector<RunInfo> runs;
  for (const std::string& id : ids) {
    absl::StatusOr<RunInfo> run = ReadRun(database_, id);
    if (run.ok()) {
      runs.push_back(*std::move(run));
    } else if (!absl::IsDataLoss(run.status())) {
      return run.status();
    }
  }
  return runs;
}

absl::StatusOr<QueueSize> RunQueue::Hold(const HeldRuns::Reasons& runs) {
  // Perhaps not for the first time: the transaction may not have come to its
  // end.
  RETURN_IF_ERROR(database_.Run(
      "CREATE TEMP TABLE IF NOT EXISTS held_runs (run_id TEXT PRIMARY KEY) "
      "WITHOUT ROWID"));
  RETURN_IF_ERROR(database_.Run("DELETE FROM temp.held_runs"));
  for (const auto& [id, why] : runs)
    RETURN_IF_ERROR(
        database_.Run("INSERT INTO temp.held_runs (run_id) VALUES (?1)", id));
  last_held_ = 0;
  if (!runs.empty()) {
    ASSIGN_OR_RETURN(
        last_held_,
        database_.QueryInt("SELECT coalesce(max(id), 0) FROM samples"));
  }
  some_before_ = last_held_ > 0;
  return Size();
}

const char* RunQueue::ButHeld() const {
  // By name: a key may be another run's one day.
  return last_held_ == 0 ? ""
                         : " AND run NOT IN (SELECT id FROM runs "
                           "JOIN temp.held_runs USING (run_id))";
}

void RunQueue::AddOfRun(const std::string& run_id, Changes of_run,
                        Changes& changes) const {
  if (!held_.Why(run_id).empty()) {
    of_run.held += std::exchange(of_run.waiting, 0);
    of_run.waiting_tokens = 0;
  }
  changes.Add(of_run);
}

absl::StatusOr<QueueSize> RunQueue::Size() {
  QueueSize size;
  ASSIGN_OR_RETURN(const int64_t queued,
                   database_.QueryInt("SELECT count(*) FROM samples "
                                      "WHERE state = 'queued'"));
  ASSIGN_OR_RETURN(size.running,
                   database_.QueryInt("SELECT count(*) FROM samples "
                                      "WHERE state = 'running'"));
  ASSIGN_OR_RETURN(Statement row,
                   database_.Prepare(absl::StrCat(
                       "SELECT count(*), coalesce(sum(cost), 0) FROM samples "
                       "WHERE state = 'queued'",
                       ButHeld())));
  RETURN_IF_ERROR(row.Step().status());
  size.waiting = row.Int(0);
  size.waiting_tokens = row.Int(1);
  size.held = queued - size.waiting;
  return size;
}

absl::StatusOr<RunInfo> RunQueue::Create(const NewRun& run, absl::Time now) {
  ASSIGN_OR_RETURN(
      Statement first,
      database_.Prepare(
          "SELECT run_id, body_digest FROM runs WHERE request_id = ?1"));
  RETURN_IF_ERROR(first.Bind(run.request_id));
  ASSIGN_OR_RETURN(const bool again, first.Step());
  if (again) {
    const std::string run_id(first.Text(0));
    if (first.Text(1) == run.body_digest) return ReadRun(database_, run_id);
    return absl::AlreadyExistsError(absl::StrCat(
        "request id '", run.request_id, "' was used for run '", run_id,
        "', which asks for something else; use a new request id"));
  }
  const std::string run_id = run_ids_.Next(now);
  ASSIGN_OR_RETURN(const int64_t key, NextRunKey(database_));
  RETURN_IF_ERROR(database_.Run(
      "INSERT INTO runs (id, run_id, request_id, body_digest, state, config, "
      "provenance, created_us, owner, may_reuse, deadline_us) "
      "VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6, ?7, ?8, ?9, ?10)",
      key, run_id, run.request_id, run.body_digest,
      ConfigToJson(run.config).dump(), ProvenanceToJson(run.provenance).dump(),
      absl::ToUnixMicros(now), run.owner, run.may_reuse,
      DeadlineMicros(now, run.time_limit)));
  RETURN_IF_ERROR(InsertLanes(key, run.config));
  return ReadRun(database_, run_id);
}

absl::Status RunQueue::InsertLanes(int64_t run, const RunConfig& config) {
  int64_t number = 0;
  for (const Lane& lane : Lanes(config)) {
    const Budget& budget = config.budgets[lane.budget];
    RETURN_IF_ERROR(database_.Run(
        "INSERT INTO lanes (run, lane, policy, scope, budget, budget_kind, "
        "budget_value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        run, number++, config.policies[lane.policy].ToString(),
        ScopeName(config.scopes[lane.scope]), budget.ToString(),
        BudgetKindName(budget.kind), budget.value));
  }
  number = 0;
  for (const GapSpec& gap : config.gaps) {
    const bool only_pred = gap.kind == GapSpec::Kind::kOnlyPred;
    RETURN_IF_ERROR(database_.Run(
        "INSERT INTO gap_lanes (run, gap, lane, kind, policy, scope, budget, "
        "budget_kind, budget_value) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        run, number++, gap.ToString(), only_pred ? "only_pred" : "without_gold",
        only_pred ? std::optional(gap.policy.ToString()) : std::nullopt,
        ScopeName(gap.scope), gap.budget.ToString(),
        BudgetKindName(gap.budget.kind), gap.budget.value));
  }
  return absl::OkStatus();
}

absl::StatusOr<RunQueue::RunRow> RunQueue::FindRun(const std::string& run_id) {
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare("SELECT id, state, complete, ended_us IS NOT NULL, "
                        "owner, config, provenance, "
                        "coalesce(config ->> '$.max_new_tokens', 0) "
                        "FROM runs WHERE run_id = ?1"));
  RETURN_IF_ERROR(row.Bind(run_id));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) {
    return absl::NotFoundError(
        absl::StrCat("run '", run_id, "' does not exist"));
  }
  return RunRow{row.Int(0),
                std::string(row.Text(1)),
                row.Int(2) != 0,
                row.Int(3) != 0,
                std::string(row.Text(4)),
                std::string(row.Text(5)),
                std::string(row.Text(6)),
                row.Int(7)};
}

absl::Status RunQueue::Limit(int64_t samples, int64_t tokens,
                             const std::optional<std::string>& owner,
                             Room& room) {
  // The sum goes through the whole queue: only where it is asked for.
  if (samples == 0 && tokens == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(Statement open,
                   database_.Prepare(absl::StrCat(
                       "SELECT count(*)", tokens == 0 ? ", 0" : ", total(cost)",
                       " FROM samples WHERE state IN ('queued', 'running')"
                       " AND (?1 IS NULL OR owner = ?1)",
                       ButHeld())));
  RETURN_IF_ERROR(open.Bind(owner));
  RETURN_IF_ERROR(open.Step().status());
  if (samples > 0) room.samples = std::min(room.samples, samples - open.Int(0));
  if (tokens > 0)
    room.tokens =
        std::min(room.tokens, tokens - static_cast<int64_t>(open.Double(1)));
  return absl::OkStatus();
}

absl::StatusOr<RunQueue::Room> RunQueue::RoomFor(const std::string& owner) {
  Room room;
  RETURN_IF_ERROR(Limit(limits_.samples, limits_.tokens, std::nullopt, room));
  RETURN_IF_ERROR(
      Limit(limits_.samples_each, limits_.tokens_each, owner, room));
  return room;
}

absl::StatusOr<std::vector<SubmitOutcome>> RunQueue::Submit(
    const std::string& run_id, const std::vector<NewSample>& samples,
    bool complete, absl::Time now, Changes& changes) {
  ASSIGN_OR_RETURN(const RunRow run, FindRun(run_id));
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
  ASSIGN_OR_RETURN(const RunRow run, FindRun(run_id));
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

absl::StatusOr<std::vector<OpenDeadline>> RunQueue::OpenDeadlines() {
  std::vector<OpenDeadline> deadlines;
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare("SELECT run_id, deadline_us FROM runs "
                        "WHERE ended_us IS NULL AND deadline_us IS NOT NULL"));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return deadlines;
    deadlines.push_back(
        {std::string(row.Text(0)), absl::FromUnixMicros(row.Int(1))});
  }
}

absl::StatusOr<std::optional<std::string>> RunQueue::NextOwner(
    const std::string& least) {
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare("SELECT owner FROM samples WHERE state = 'queued' "
                        "AND owner >= ?1 ORDER BY owner LIMIT 1"));
  RETURN_IF_ERROR(row.Bind(least));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<std::string>();
  return std::optional(std::string(row.Text(0)));
}

absl::StatusOr<std::optional<int64_t>> RunQueue::NextSample() {
  std::vector<Waiting> waiting;
  std::vector<int64_t> samples;
  bool some_before = false;
  std::string least;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<std::string> owner, NextOwner(least));
    if (!owner) break;
    // Above this name and below every other: names have no such character.
    least = *owner + '\x01';
    // A seek in the index, as above, for each owner.
    ASSIGN_OR_RETURN(Statement row, database_.Prepare(absl::StrCat(
                                        "SELECT id, cost FROM samples "
                                        "WHERE state = 'queued' AND owner = ?1 "
                                        "AND id > ?2",
                                        some_before_ ? ButHeld() : "",
                                        " ORDER BY id LIMIT 1")));
    RETURN_IF_ERROR(row.Bind(*owner, some_before_ ? 0 : last_held_));
    ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) continue;
    waiting.push_back({*owner, std::max<int64_t>(1, row.Int(1))});
    samples.push_back(row.Int(0));
    some_before |= samples.back() <= last_held_;
  }
  some_before_ = some_before;
  if (waiting.empty()) return std::optional<int64_t>();
  return std::optional(samples[turns_.Next(waiting)]);
}

absl::StatusOr<std::optional<TakenSample>> RunQueue::Take(absl::Time now,
                                                          Changes& changes) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> next, NextSample());
  if (!next) return std::optional<TakenSample>();
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare(
          "SELECT samples.id, samples.run, samples.attempt + 1, runs.run_id, "
          "sample_id, config, payload, submitted_us, cost, provenance "
          "FROM samples "
          "JOIN runs ON runs.id = samples.run "
          "JOIN sample_inputs ON sample_inputs.sample = samples.id "
          "WHERE samples.id = ?1"));
  RETURN_IF_ERROR(row.Bind(*next));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found)
    return absl::DataLossError(absl::StrCat(
        database_.path(), ": sample ", *next, " of the queue has no input"));
  TakenSample taken;
  taken.key = {row.Int(1), row.Int(0), row.Int(2)};
  taken.run_id = row.Text(3);
  taken.sample_id = row.Text(4);
  taken.config = row.Text(5);
  taken.payload = row.Text(6);
  taken.provenance = row.Text(9);
  taken.submit_time = absl::FromUnixMicros(row.Int(7));
  RETURN_IF_ERROR(database_.Run(
      "UPDATE samples SET state = 'running', attempt = ?2, epoch = ?3, "
      "leased_us = ?4 WHERE id = ?1",
      taken.key.sample, taken.key.attempt, epoch_, absl::ToUnixMicros(now)));
  RETURN_IF_ERROR(database_.Run(
      "UPDATE runs SET state = 'running' WHERE id = ?1 AND state = 'queued'",
      taken.key.run));
  changes.waiting -= 1;
  changes.waiting_tokens -= row.Int(8);
  changes.running += 1;
  ASSIGN_OR_RETURN(const bool is_reused,
                   ReuseRecords(database_, log_, taken.key, now, changes));
  if (is_reused) return std::optional<TakenSample>();
  return std::optional<TakenSample>(std::move(taken));
}

absl::Status RunQueue::Release(const LeaseKey& key, Changes& changes) {
  if (key.sample <= last_held_) some_before_ = true;
  ASSIGN_OR_RETURN(
      const int64_t tokens,
      database_.QueryInt("SELECT coalesce(sum(cost), 0) FROM samples "
                         "WHERE id = ?1 AND state = 'running' AND attempt = ?2",
                         key.sample, key.attempt));
  RETURN_IF_ERROR(
      database_.Run("UPDATE samples SET state = 'queued', "
                    "attempt = attempt - (recorded_attempt <> attempt) "
                    "WHERE id = ?1 AND state = 'running' AND attempt = ?2",
                    key.sample, key.attempt));
  changes.waiting += database_.Changes();
  changes.waiting_tokens += tokens;
  changes.running -= database_.Changes();
  return absl::OkStatus();
}

absl::Status RunQueue::ReleaseAfterDeath(const LeaseKey& key, absl::Time now,
                                         Changes& changes) {
  RETURN_IF_ERROR(
      database_.Run("UPDATE samples SET crashes = crashes + 1 "
                    "WHERE id = ?1 AND state = 'running' AND attempt = ?2",
                    key.sample, key.attempt));
  RETURN_IF_ERROR(FailPoison(now, changes));
  return Release(key, changes);
}

}  // namespace kvrecall
