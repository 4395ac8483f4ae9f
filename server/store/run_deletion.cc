#include "server/store/run_deletion.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// A sample's input may be megabytes; so many came in one call at most.
constexpr int64_t kSamplesPerPiece = 64;

}  // namespace

absl::StatusOr<int64_t> NextRunKey(Database& database) {
  return database.QueryInt(
      "SELECT 1 + max(coalesce((SELECT max(id) FROM runs), 0), "
      "coalesce((SELECT max(run) FROM samples), 0))");
}

absl::StatusOr<RunDeletion::Begun> RunDeletion::Begin(
    const std::string& run_id) {
  Begun begun;
  {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT id, samples_submitted, last_sequence, ended_us IS NOT NULL "
            "FROM runs WHERE run_id = ?1"));
    RETURN_IF_ERROR(row.Bind(run_id));
    ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found)
      return absl::NotFoundError(
          absl::StrCat("run '", run_id, "' does not exist"));
    if (row.Int(3) == 0)
      return WithReason(
          absl::FailedPreconditionError(absl::StrCat(
              "run '", run_id, "' has not ended; cancel it first")),
          "RUN_ACTIVE");
    begun = {row.Int(0), {row.Int(1), row.Int(2)}};
  }
  RETURN_IF_ERROR(DeleteRow(begun.key));
  return begun;
}

absl::StatusOr<std::vector<int64_t>> RunDeletion::BeginEndedBefore(
    absl::Time time, int64_t most) {
  std::vector<int64_t> keys;
  {
    ASSIGN_OR_RETURN(
        Statement rows,
        database_.Prepare("SELECT id FROM runs WHERE ended_us < ?1 LIMIT ?2"));
    RETURN_IF_ERROR(rows.Bind(absl::ToUnixMicros(time), most));
    ASSIGN_OR_RETURN(keys, Keys(rows));
  }
  for (const int64_t key : keys) RETURN_IF_ERROR(DeleteRow(key));
  return keys;
}

absl::Status RunDeletion::DeleteRow(int64_t key) {
  RETURN_IF_ERROR(database_.Run("DELETE FROM runs WHERE id = ?1", key));
  // Without samples nothing would tell a later server of the rest: an event at
  // most, and the lanes.
  ASSIGN_OR_RETURN(
      const int64_t samples,
      database_.QueryInt("SELECT EXISTS (SELECT 1 FROM samples WHERE run = ?1)",
                         key));
  return samples == 0 ? DeletePiece(key).status() : absl::OkStatus();
}

absl::StatusOr<bool> RunDeletion::DeletePiece(int64_t key) {
  // Once all rows of a run are gone, the next one may get its key.
  ASSIGN_OR_RETURN(
      const int64_t others,
      database_.QueryInt("SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1)",
                         key));
  if (others != 0) return false;
  ASSIGN_OR_RETURN(const bool had_events, DeleteEvents(key));
  if (!had_events) {
    RETURN_IF_ERROR(database_.Run(
        "DELETE FROM sample_inputs WHERE sample IN (SELECT id FROM samples "
        "WHERE run = ?1 ORDER BY ordinal LIMIT ?2)",
        key, kSamplesPerPiece));
    RETURN_IF_ERROR(
        database_.Run("DELETE FROM samples WHERE id IN (SELECT id FROM samples "
                      "WHERE run = ?1 ORDER BY ordinal LIMIT ?2)",
                      key, kSamplesPerPiece));
  }
  ASSIGN_OR_RETURN(
      const int64_t samples,
      database_.QueryInt("SELECT EXISTS (SELECT 1 FROM samples WHERE run = ?1)",
                         key));
  if (samples != 0) return true;
  RETURN_IF_ERROR(DeleteLanes(key));
  return false;
}

absl::StatusOr<bool> RunDeletion::DeleteEvents(int64_t key) {
  ASSIGN_OR_RETURN(
      const int64_t first,
      database_.QueryInt(
          "SELECT coalesce(min(sequence), 0) FROM ("
          "SELECT min(sequence) AS sequence FROM steps WHERE run = ?1 "
          "UNION ALL SELECT min(sequence) FROM sample_events WHERE run = ?1)",
          key));
  if (first == 0) return false;
  ASSIGN_OR_RETURN(
      const int64_t lanes,
      database_.QueryInt("SELECT (SELECT count(*) FROM lanes WHERE run = ?1) + "
                         "(SELECT count(*) FROM gap_lanes WHERE run = ?1)",
                         key));
  // A step has a row in each lane, and one of its own.
  const int64_t events = std::max<int64_t>(1, rows_per_piece_ / (lanes + 1));
  for (const char* sql :
       {"DELETE FROM step_recalls WHERE run = ?1 AND sequence < ?2",
        "DELETE FROM step_gaps WHERE run = ?1 AND sequence < ?2",
        "DELETE FROM steps WHERE run = ?1 AND sequence < ?2",
        "DELETE FROM sample_events WHERE run = ?1 AND sequence < ?2"})
    RETURN_IF_ERROR(database_.Run(sql, key, first + events));
  return true;
}

absl::Status RunDeletion::DeleteLanes(int64_t key) {
  RETURN_IF_ERROR(database_.Run("DELETE FROM lanes WHERE run = ?1", key));
  return database_.Run("DELETE FROM gap_lanes WHERE run = ?1", key);
}

absl::StatusOr<std::vector<int64_t>> RunDeletion::Unfinished() {
  ASSIGN_OR_RETURN(Statement rows,
                   database_.Prepare("SELECT DISTINCT run FROM samples "
                                     "WHERE run NOT IN (SELECT id FROM runs)"));
  return Keys(rows);
}

absl::StatusOr<std::vector<int64_t>> RunDeletion::Keys(Statement& rows) {
  std::vector<int64_t> keys;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return keys;
    keys.push_back(rows.Int(0));
  }
}

}  // namespace kvrecall
