#include "common/records_db/new_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <unistd.h>

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"

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

void RemoveWithLogs(const std::string& path) {
  std::error_code error;
  for (const char* suffix : {"", "-journal", "-wal", "-shm"})
    fs::remove(absl::StrCat(path, suffix), error);
}

}  // namespace

NewFile::NewFile(const std::string& file, Existing existing)
    : file_(file), part_(absl::StrCat(file, ".part")), existing_(existing) {}

absl::StatusOr<NewFile> NewFile::Make(const std::string& file,
                                      Existing existing) {
  NewFile made(file, existing);
  std::error_code error;
  if (existing == Existing::kReplace) {
    RemoveWithLogs(made.part_);
  } else if (fs::symlink_status(file, error).type() !=
                 fs::file_type::not_found &&
             !error) {
    return Exists(absl::StrCat(file, ": is there already"));
  }
  const Descriptor part(made.part_, O_CREAT | O_EXCL | O_WRONLY);
  if (part.number() < 0) return SystemError(made.part_, "cannot be made");
  made.exists_ = true;
  return made;
}

NewFile::~NewFile() {
  if (exists_) RemoveWithLogs(part_);
}

absl::Status NewFile::Name() {
  const bool replace = existing_ == Existing::kReplace;
  if (renameat2(AT_FDCWD, part_.c_str(), AT_FDCWD, file_.c_str(),
                replace ? 0 : RENAME_NOREPLACE) == 0) {
    exists_ = false;
    return absl::OkStatus();
  }
  // NFS knows no renaming that overwrites nothing. What is linked twice loses
  // its first name.
  if (replace || errno != EINVAL || link(part_.c_str(), file_.c_str()) != 0)
    return SystemError(file_, "cannot be named");
  return absl::OkStatus();
}

absl::Status NewFile::Commit() {
  RETURN_IF_ERROR(Sync(part_, O_RDONLY));
  RETURN_IF_ERROR(Name());
  const fs::path folder = fs::path(file_).parent_path();
  absl::Status named =
      Sync(folder.empty() ? "." : folder.string(), O_DIRECTORY);
  if (named.ok()) return named;
  std::error_code error;
  fs::remove(file_, error);
  return named;
}

}  // namespace kvrecall
