#include "common/records_db/schema.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include <unistd.h>

#include "common/base/status_macros.h"
#include "common/records_db/schema_sql.h"

namespace kvrecall {
namespace {

// kMigrations[v - 1] takes a database from version v to v + 1, version
// included.
constexpr const char* kMigrations[kSchemaVersion - 1] = {
    kMigrate1To2Sql, kMigrate2To3Sql, kMigrate3To4Sql, kMigrate4To5Sql};

constexpr int64_t kLogBytes = 64 << 20;  // what the log shrinks to

// The version of a database that is ours; 0 if it is empty.
absl::StatusOr<int64_t> CheckedVersion(Database& database) {
  absl::StatusOr<int64_t> application =
      database.QueryInt("PRAGMA application_id");
  if (application.status().code() == absl::StatusCode::kDataLoss) {
    const absl::string_view reason = application.status().message();
    return absl::DataLossError(absl::StrCat(
        reason, "; expected a kvrecall database. The file was left as it is"));
  }
  RETURN_IF_ERROR(application.status());
  ASSIGN_OR_RETURN(const int64_t version,
                   database.QueryInt("PRAGMA user_version"));
  ASSIGN_OR_RETURN(const int64_t objects,
                   database.QueryInt("SELECT count(*) FROM sqlite_schema"));
  if (*application == 0 && version == 0 && objects == 0) return int64_t{0};
  if (*application != kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(database.path(),
                     ": is a SQLite database of another program "
                     "(application id ",
                     *application, "); expected one of kvrecall"));
  }
  if (version < 0) {
    return absl::DataLossError(
        absl::StrCat(database.path(), ": has schema version ", version,
                     ", which no kvrecall writes. The file was left as it is"));
  }
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        database.path(), ": was written by a newer kvrecall (schema version ",
        version, "; this program knows up to ", kSchemaVersion,
        "); use the newer program"));
  }
  return version;
}

absl::Status Migrate(Database& database) {
  return InTransaction(
      database, TransactionKind::kWrite, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(int64_t version, CheckedVersion(database));
        if (version == 0) return database.Exec(kSchemaSql);
        for (; version < kSchemaVersion; ++version) {
          RETURN_IF_ERROR(database.Exec(kMigrations[version - 1]));
        }
        return absl::OkStatus();
      });
}

absl::Status UseWriteAheadLog(Database& database) {
  ASSIGN_OR_RETURN(Statement statement,
                   database.Prepare("PRAGMA journal_mode = WAL"));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (row && statement.Text(0) == "wal") return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(database.path(),
                   ": its file system cannot hold a write-ahead log; "
                   "choose a path on a local disk"));
}

absl::Status LimitSize(Database& database, int64_t max_bytes) {
  if (max_bytes == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t page_size,
                   database.QueryInt("PRAGMA page_size"));
  return database.Exec(
      absl::StrCat("PRAGMA max_page_count = ", max_bytes / page_size));
}

absl::Status CheckReadable(Database& database) {
  ASSIGN_OR_RETURN(const int64_t version, CheckedVersion(database));
  if (version == kSchemaVersion) return absl::OkStatus();
  if (version == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        database.path(), ": is empty; expected a kvrecall database"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(database.path(), ": has schema version ", version,
                   "; start "
                   "kvrecall-server on it once to bring it to version ",
                   kSchemaVersion));
}

absl::Status CheckWritable(const std::string& path) {
  if (::access(path.c_str(), W_OK) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(path, ": cannot be written to: ", std::strerror(errno)));
}

}  // namespace

absl::Status CheckDatabasePath(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is a directory; expected the file of a kvrecall database"));
  }
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::exists(folder, error) && !error) {
    return absl::NotFoundError(absl::StrCat(
        path, ": the folder ", folder.string(), " does not exist"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> OpenForWriting(
    const std::string& path, const WriterOptions& options) {
  RETURN_IF_ERROR(CheckDatabasePath(path));
  ASSIGN_OR_RETURN(
      std::unique_ptr<Database> database,
      Database::Open(path, {.busy_timeout = options.busy_timeout}));
  // Looked at before anything is changed, the journal mode included.
  RETURN_IF_ERROR(CheckedVersion(*database).status());
  RETURN_IF_ERROR(UseWriteAheadLog(*database));
  RETURN_IF_ERROR(
      database->Exec(options.synchronous == WriterOptions::Synchronous::kFull
                         ? "PRAGMA synchronous = FULL"
                         : "PRAGMA synchronous = NORMAL"));
  RETURN_IF_ERROR(database->Exec("PRAGMA temp_store = MEMORY"));
  RETURN_IF_ERROR(database->Exec("PRAGMA cell_size_check = ON"));
  RETURN_IF_ERROR(database->Exec("PRAGMA cache_size = -16384"));  // 16 MiB
  RETURN_IF_ERROR(database->Exec(
      absl::StrCat("PRAGMA wal_autocheckpoint = ", options.checkpoint_pages)));
  RETURN_IF_ERROR(
      database->Exec(absl::StrCat("PRAGMA journal_size_limit = ", kLogBytes)));
  RETURN_IF_ERROR(LimitSize(*database, options.max_bytes));
  RETURN_IF_ERROR(Migrate(*database));
  return database;
}

absl::StatusOr<int64_t> CheckForWriting(const std::string& path) {
  RETURN_IF_ERROR(CheckDatabasePath(path));
  std::error_code error;
  const std::filesystem::path file(path);
  if (!std::filesystem::exists(file, error)) {
    const auto folder = file.has_parent_path() ? file.parent_path()
                                               : std::filesystem::path(".");
    RETURN_IF_ERROR(CheckWritable(folder.string()));
    return int64_t{0};
  }
  RETURN_IF_ERROR(CheckWritable(path));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Database> database,
      Database::Open(path, {.read_only = true, .immutable = true}));
  return CheckedVersion(*database);
}

absl::StatusOr<std::unique_ptr<Database>> OpenForReading(
    const std::string& path) {
  RETURN_IF_ERROR(CheckDatabasePath(path));
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database,
                   Database::Open(path, {.read_only = true}));
  absl::Status status = CheckReadable(*database);
  // A log needs a file beside the database, which a folder without write
  // permission refuses. Without a log there is nothing to miss.
  std::error_code error;
  if (!status.ok() && !std::filesystem::exists(path + "-wal", error)) {
    absl::StatusOr<std::unique_ptr<Database>> immutable =
        Database::Open(path, {.read_only = true, .immutable = true});
    if (immutable.ok() && CheckReadable(**immutable).ok()) return immutable;
  }
  RETURN_IF_ERROR(status);
  return database;
}

}  // namespace kvrecall
