#pragma once

// The Store on one SQLite file (schema: common/records_db/schema.sql).

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/records_db/schema.h"
#include "server/store/run_queue.h"
#include "server/store/store.h"
#include "server/store/store_observer.h"

namespace kvrecall {

struct SqliteStoreOptions {
  // May be null; must outlive the store.
  StoreObserver* observer = nullptr;
  // How long appended events wait for others to share a commit with. Calls
  // that somebody waits for are not kept waiting.
  absl::Duration commit_interval = absl::Milliseconds(20);
  int64_t batch_events = 1000;   // so many are committed at once, without wait
  int64_t buffer_events = 8000;  // appended and not yet committed, at most
  // After a write for which nobody waits has failed.
  absl::Duration retry_interval = absl::Seconds(1);
  WriterOptions writer;
  // New runs and samples are refused with DISK_LOW while the database's file
  // system has less room than this; what runs goes on, and all reads do.
  int64_t min_free_bytes = 0;
  // The same with DATABASE_FULL while rows take as much of the database as this
  // or more; 0: without limit. What runs may write beyond it. (writer.max_bytes
  // is the limit that also ends what runs, as a full disk does.)
  int64_t max_used_bytes = 0;
  QueueLimits limits;
  // Runs that ended longer ago are deleted; looked at when the store opens, and
  // then at this interval.
  absl::Duration keep = absl::InfiniteDuration();
  absl::Duration retention_interval = absl::Hours(1);
};

// Opens the database, making it if there is none, and gives the samples that
// an earlier server left unfinished back to the queue. The file and what it
// holds stay untouched on every error, each of which is one line that names
// the path: FailedPrecondition (in use by another server; another program's
// or a newer kvrecall's database), InvalidArgument (a directory), NotFound (no
// such folder), PermissionDenied, DataLoss (damaged, or not a database).
//
// Where Append fails, the caller stops the sample and calls Release; after
// retry_interval the sample is run again as a new attempt. While another
// process has the database locked, calls fail with Unavailable; events and
// leases wait.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(
    const std::string& path, const SqliteStoreOptions& options);

}  // namespace kvrecall
