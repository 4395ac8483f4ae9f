#pragma once

// The statements that delete runs, a piece at a time. All methods run on the
// writer thread, inside one of its transactions, or before that thread begins.
//
// A run is deleted when its row in `runs` is: everything that is read begins
// there. Its other rows go after it, its samples last, so that samples without
// a run are a deletion that was not finished.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/records_db/sqlite.h"
#include "server/store/store.h"

namespace kvrecall {

// For a new run: beyond those of runs whose rows are still being deleted, which
// must not become the new one's.
absl::StatusOr<int64_t> NextRunKey(Database& database);

class RunDeletion {
 public:
  // `rows_per_piece`: about so many rows of events go at once; a piece takes
  // some milliseconds.
  explicit RunDeletion(Database* database, int64_t rows_per_piece = 4000)
      : database_(*database), rows_per_piece_(rows_per_piece) {}

  struct Begun {
    int64_t key = 0;
    DeletedRun run;
  };
  // Deletes the run; its rows are left to DeletePiece. As Store::DeleteRun.
  absl::StatusOr<Begun> Begin(const std::string& run_id);
  // The same for runs that ended before `time`, at most `most` of them.
  absl::StatusOr<std::vector<int64_t>> BeginEndedBefore(absl::Time time,
                                                        int64_t most);

  // Deletes some of the rows that a deleted run has left. False: it has none
  // any more.
  absl::StatusOr<bool> DeletePiece(int64_t key);

  // Deleted runs of which there are rows.
  absl::StatusOr<std::vector<int64_t>> Unfinished();

 private:
  absl::Status DeleteRow(int64_t key);
  absl::StatusOr<bool> DeleteEvents(int64_t key);  // false: there were none
  absl::Status DeleteLanes(int64_t key);
  absl::StatusOr<std::vector<int64_t>> Keys(Statement& rows);

  Database& database_;
  const int64_t rows_per_piece_;
};

}  // namespace kvrecall
