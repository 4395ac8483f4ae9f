#include "common/records_db/backup_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <unistd.h>

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

absl::Status Exists(const std::string& words) {
  return WithReason(absl::AlreadyExistsError(words), "FILE_EXISTS");
}

absl::Status SystemError(const std::string& path, const char* what) {
  const int error = errno;
  const std::string words =
      absl::StrCat(path, ": ", what, ": ", std::strerror(error));
  switch (error) {
    case EEXIST:
      return Exists(words);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(words);
    case EIO:
      return absl::InternalError(words);
    default:
      return absl::InvalidArgumentError(words);
  }
}

// A descriptor that is closed, whatever happens.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : number_(open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  const int number_;
};

absl::Status Sync(const std::string& path, int flags) {
  const Descriptor opened(path, flags);
  if (opened.number() < 0 || fsync(opened.number()) != 0)
    return SystemError(path, "cannot be synced");
  return absl::OkStatus();
}

// The file while it has no name of its own: removed, with all that SQLite may
// have put beside it, unless it was given one.
class Part {
 public:
  // AlreadyExists: somebody else writes it, or was killed while he did.
  static absl::StatusOr<Part> Make(const std::string& file) {
    Part part(absl::StrCat(file, ".part"));
    const Descriptor made(part.path_, O_CREAT | O_EXCL | O_WRONLY);
    if (made.number() < 0) return SystemError(part.path_, "cannot be made");
    part.exists_ = true;
    return part;
  }
  Part(Part&& other) noexcept
      : path_(other.path_), exists_(std::exchange(other.exists_, false)) {}
  Part& operator=(Part&&) = delete;
  ~Part() {
    if (!exists_) return;
    std::error_code error;
    for (const char* suffix : {"", "-journal", "-wal", "-shm"})
      fs::remove(absl::StrCat(path_, suffix), error);
  }

  const std::string& path() const { return path_; }

  // Not even a file that appeared meanwhile is overwritten.
  absl::Status Name(const std::string& file) {
    if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, file.c_str(),
                  RENAME_NOREPLACE) == 0) {
      exists_ = false;
      return absl::OkStatus();
    }
    // NFS knows no such renaming. What is linked twice loses its first name.
    if (errno != EINVAL || link(path_.c_str(), file.c_str()) != 0)
      return SystemError(file, "cannot be named");
    return absl::OkStatus();
  }

 private:
  explicit Part(std::string path) : path_(std::move(path)) {}

  std::string path_;
  bool exists_ = false;
};

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
  std::error_code error;
  if (fs::symlink_status(file, error).type() != fs::file_type::not_found &&
      !error)
    return Exists(absl::StrCat(file, ": is there already"));
  ASSIGN_OR_RETURN(Part part, Part::Make(file));
  RETURN_IF_ERROR(Copy(database, part.path(), hooks));
  RETURN_IF_ERROR(Check(part.path(), hooks));
  RETURN_IF_ERROR(Sync(part.path(), O_RDONLY));
  const auto bytes = static_cast<int64_t>(fs::file_size(part.path(), error));
  if (error)
    return absl::InternalError(
        absl::StrCat(part.path(), ": ", error.message()));
  RETURN_IF_ERROR(part.Name(file));
  const fs::path folder = fs::path(file).parent_path();
  const absl::Status named =
      Sync(folder.empty() ? "." : folder.string(), O_DIRECTORY);
  if (named.ok()) return bytes;
  fs::remove(file, error);
  return named;
}

}  // namespace kvrecall
