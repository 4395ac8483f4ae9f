#include "common/records_db/backup_file.h"

#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/records_db/new_file.h"
#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

absl::Status Stopped() {
  return absl::CancelledError("the backup was stopped");
}

absl::Status Copy(const std::string& database, const std::string& part,
                  const BackupHooks& hooks) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Database> source,
                   OpenForReading(database));
  ASSIGN_OR_RETURN(const std::unique_ptr<Database> target,
                   Database::Open(part, {}));
  // Nobody knows of the file yet, and it is synced at its end.
  RETURN_IF_ERROR(target->Exec("PRAGMA journal_mode = OFF"));
  RETURN_IF_ERROR(target->Exec("PRAGMA synchronous = OFF"));
  RETURN_IF_ERROR(
      InTransaction(*source, TransactionKind::kRead, [&]() -> absl::Status {
        // Holds the state that is copied; without it each commit of the
        // writer's would make the copying begin anew.
        RETURN_IF_ERROR(
            source->QueryInt("SELECT count(*) FROM sqlite_schema").status());
        return source->CopyTo(*target, [&](int64_t done, int64_t total) {
          if (hooks.progress) hooks.progress(done, total);
          return hooks.stop && hooks.stop() ? Stopped() : absl::OkStatus();
        });
      }));
  // The copy says of itself that it has a log beside it.
  return target->Exec("PRAGMA journal_mode = DELETE");
}

absl::Status Check(const std::string& part, const BackupHooks& hooks) {
  {
    ASSIGN_OR_RETURN(
        const std::unique_ptr<Database> copy,
        Database::Open(part, {.read_only = true, .immutable = true}));
    if (hooks.stop) copy->StopWhen(hooks.stop);
    ASSIGN_OR_RETURN(Statement check, copy->Prepare("PRAGMA quick_check(1)"));
    ASSIGN_OR_RETURN(const bool row, check.Step());
    if (!row || check.Text(0) != "ok")
      return absl::DataLossError(absl::StrCat(
          part, ": the copy is damaged: ",
          row ? std::string(check.Text(0)) : "it cannot be checked"));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<RecordsReader> reader,
                   RecordsReader::Open(part));
  return reader->ListRuns(1, "").status();
}

}  // namespace

absl::StatusOr<int64_t> WriteBackup(const std::string& database,
                                    const std::string& file,
                                    const BackupHooks& hooks) {
  ASSIGN_OR_RETURN(NewFile part, NewFile::Make(file));
  RETURN_IF_ERROR(Copy(database, part.path(), hooks));
  RETURN_IF_ERROR(Check(part.path(), hooks));
  std::error_code error;
  const auto bytes = static_cast<int64_t>(fs::file_size(part.path(), error));
  if (error)
    return absl::InternalError(
        absl::StrCat(part.path(), ": ", error.message()));
  RETURN_IF_ERROR(part.Commit());
  return bytes;
}

}  // namespace kvrecall
