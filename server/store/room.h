#pragma once

// Whether there is room for new work: what is decided before it is taken on,
// so that what runs can go on.

#include <cstdint>
#include <string>

#include "absl/status/status.h"

#include "common/records_db/sqlite.h"

namespace kvrecall {

// DISK_LOW where `needed` more bytes would leave the file system of `path` less
// than `min_free`; 0: no limit. Any thread; asks the file system.
absl::Status CheckDiskRoom(const std::string& path, int64_t min_free,
                           int64_t needed = 0);

// Bytes that are free there; 0 where nobody can tell.
int64_t FreeDiskBytes(const std::string& path);

// Bytes of a file; 0 if there is none.
int64_t FileBytes(const std::string& path);

// DATABASE_FULL where rows take `max_used` bytes or more; 0: no limit.
absl::Status CheckQuota(Database& database, int64_t max_used);

}  // namespace kvrecall
