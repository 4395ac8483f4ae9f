#pragma once

// A copy of a whole database as a file of its own, made while others read and
// write it. Any thread.

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace kvrecall {

// What the maker of a backup is told, and asked, all the while. On its thread.
struct BackupHooks {
  // So many bytes of so many are there.
  std::function<void(int64_t done, int64_t total)> progress;
  // From the first yes on, the backup fails with Cancelled.
  std::function<bool()> stop;
};

// Makes `file`, which must not exist, from the committed state that `database`
// has at the beginning; returns its bytes. It is written as `file`.part,
// checked page by page and row by row, synced, and only then gets its name. It
// has no log beside it, and a server may be started on it. `database` is only
// read; its log grows meanwhile.
// InvalidArgument: `file` cannot be made where it is named. AlreadyExists: it
// is there, or its part is. ResourceExhausted: the disk is full. DataLoss: the
// copy is no sound database. After an error there is neither `file` nor part.
absl::StatusOr<int64_t> WriteBackup(const std::string& database,
                                    const std::string& file,
                                    const BackupHooks& hooks);

}  // namespace kvrecall
