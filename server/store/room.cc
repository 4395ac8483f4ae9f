#include "server/store/room.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "common/records_db/reader.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kRetryAfter = absl::Seconds(30);
constexpr char kStillWorks[] = "; what runs goes on, and reading works";

}  // namespace

absl::Status CheckDiskRoom(const std::string& path, int64_t min_free,
                           int64_t needed) {
  if (min_free == 0) return absl::OkStatus();
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(path, error);
  // Where nobody can tell, the disk says it itself when it is full.
  if (error || space.available >= static_cast<uintmax_t>(min_free) +
                                      static_cast<uintmax_t>(needed))
    return absl::OkStatus();
  return WithRetryAfter(
      WithReason(absl::UnavailableError(absl::StrCat(
                     "the server's disk has ", space.available >> 20,
                     " MiB left; this needs ", needed >> 20, " MiB and leaves ",
                     min_free >> 20, " MiB free", kStillWorks)),
                 "DISK_LOW"),
      kRetryAfter);
}

int64_t FreeDiskBytes(const std::string& path) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(path, error);
  return error ? 0 : static_cast<int64_t>(space.available);
}

int64_t FileBytes(const std::string& path) {
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

absl::Status CheckQuota(Database& database, int64_t max_used) {
  if (max_used == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t used, UsedBytes(database));
  if (used < max_used) return absl::OkStatus();
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat(
          "the server's database has ", used >> 20,
          " MiB of records; it may "
          "have ",
          max_used >> 20, " MiB before runs are deleted", kStillWorks)),
      "DATABASE_FULL");
}

}  // namespace kvrecall
