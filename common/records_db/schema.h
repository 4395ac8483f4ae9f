#pragma once

// Opens a records database: tells whether a file is one, and brings it to the
// schema (schema.sql) that this program knows. A file that is not ours, or
// that a newer program wrote, is refused and never touched.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/records_db/sqlite.h"

namespace kvrecall {

inline constexpr int64_t kApplicationId = 0x6b767265;  // "kvre"
inline constexpr int64_t kSchemaVersion = 5;

struct WriterOptions {
  // FULL survives a power cut at every commit; NORMAL may lose the last ones
  // (never the database), and costs one fsync less per commit.
  enum class Synchronous { kFull, kNormal };
  Synchronous synchronous = Synchronous::kFull;
  absl::Duration busy_timeout = absl::Seconds(5);
  // Limit of the database's size; 0: none. Reached, writes fail with
  // ResourceExhausted as they do on a full disk.
  int64_t max_bytes = 0;
  // Pages of the log from which a commit also brings them into the database.
  int64_t checkpoint_pages = 4000;
};

// InvalidArgument: a directory. NotFound: the path's folder does not exist.
absl::Status CheckDatabasePath(const std::string& path);

// The one connection that writes. Makes the file where there is none, and
// migrates an older one in one transaction. The caller sees to it that no
// other process does the same.
absl::StatusOr<std::unique_ptr<Database>> OpenForWriting(
    const std::string& path, const WriterOptions& options);

// The schema version that OpenForWriting would find: 0 where it would make the
// file, or find an empty one. Its errors, without touching anything: what only
// a write-ahead log holds, of a server that runs or has crashed, is not seen.
absl::StatusOr<int64_t> CheckForWriting(const std::string& path);

// A connection that only reads and never checkpoints. NotFound where there is
// no file. A database in a folder that cannot be written to is read too, if
// no server was using it.
absl::StatusOr<std::unique_ptr<Database>> OpenForReading(
    const std::string& path);

}  // namespace kvrecall
