#include "server/store/sample_queue.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "server/store/record_reuse.h"

namespace kvrecall {

absl::Status SampleQueue::Recover(absl::Time now) {
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

absl::Status SampleQueue::FailPoison(absl::Time now, Changes& changes) {
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

absl::StatusOr<QueueSize> SampleQueue::Hold(const HeldRuns::Reasons& runs) {
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

const char* SampleQueue::ButHeld() const {
  // By name: a key may be another run's one day.
  return last_held_ == 0 ? ""
                         : " AND run NOT IN (SELECT id FROM runs "
                           "JOIN temp.held_runs USING (run_id))";
}

absl::StatusOr<QueueSize> SampleQueue::Size() {
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

absl::StatusOr<OpenSamples> SampleQueue::Open(
    const std::optional<std::string>& owner, bool with_tokens) {
  // The sum goes through the whole queue: only where it is asked for.
  ASSIGN_OR_RETURN(Statement row,
                   database_.Prepare(absl::StrCat(
                       "SELECT count(*)", with_tokens ? ", total(cost)" : "",
                       " FROM samples WHERE state IN ('queued', 'running')"
                       " AND (?1 IS NULL OR owner = ?1)",
                       ButHeld())));
  RETURN_IF_ERROR(row.Bind(owner));
  RETURN_IF_ERROR(row.Step().status());
  OpenSamples open;
  open.samples = row.Int(0);
  if (with_tokens) open.tokens = static_cast<int64_t>(row.Double(1));
  return open;
}

absl::StatusOr<std::optional<std::string>> SampleQueue::NextOwner(
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

absl::StatusOr<std::optional<int64_t>> SampleQueue::NextSample() {
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

absl::StatusOr<std::optional<TakenSample>> SampleQueue::Take(absl::Time now,
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

absl::Status SampleQueue::Release(const LeaseKey& key, Changes& changes) {
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

absl::Status SampleQueue::ReleaseAfterDeath(const LeaseKey& key, absl::Time now,
                                            Changes& changes) {
  RETURN_IF_ERROR(
      database_.Run("UPDATE samples SET crashes = crashes + 1 "
                    "WHERE id = ?1 AND state = 'running' AND attempt = ?2",
                    key.sample, key.attempt));
  RETURN_IF_ERROR(FailPoison(now, changes));
  return Release(key, changes);
}

}  // namespace kvrecall
