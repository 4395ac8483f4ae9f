#include "server/store/process_lock.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

std::string LockPath(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error);
  return (error ? path : real.string()) + ".lock";
}

// " (process 123)", if the file says so.
std::string Owner(int descriptor) {
  char text[32] = {};
  const ssize_t size = pread(descriptor, text, sizeof(text) - 1, 0);
  int process = 0;
  if (size <= 0 || !absl::SimpleAtoi(text, &process)) return "";
  return absl::StrCat(" (process ", process, ")");
}

absl::Status SystemError(const std::string& path, const char* what) {
  const std::string words =
      absl::StrCat(path, ": ", what, ": ", std::strerror(errno));
  if (errno == ENOENT) return absl::NotFoundError(words);
  if (errno == EACCES) return absl::PermissionDeniedError(words);
  return absl::FailedPreconditionError(words);
}

// Locks the open file at once or not at all.
absl::Status Lock(int descriptor, const std::string& path) {
  if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK)
    return SystemError(LockPath(path), "cannot be locked");
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": is in use by another kvrecall-server",
                   Owner(descriptor), "; stop it or choose another database"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessLock>> ProcessLock::Take(
    const std::string& path) {
  const std::string lock_path = LockPath(path);
  const int descriptor =
      open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return SystemError(lock_path, "cannot be made");
  std::unique_ptr<ProcessLock> lock(new ProcessLock(descriptor));
  RETURN_IF_ERROR(Lock(descriptor, path));
  // Only for the other's message: that it cannot be written matters little.
  const std::string owner = absl::StrCat(getpid(), "\n");
  if (ftruncate(descriptor, 0) == 0) {
    [[maybe_unused]] const ssize_t written =
        pwrite(descriptor, owner.data(), owner.size(), 0);
  }
  return lock;
}

absl::Status ProcessLock::Check(const std::string& path) {
  const std::string lock_path = LockPath(path);
  const int descriptor = open(lock_path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0)
    return errno == ENOENT ? absl::OkStatus()
                           : SystemError(lock_path, "cannot be opened");
  const ProcessLock closed_in_the_end(descriptor);
  return Lock(descriptor, path);
}

ProcessLock::~ProcessLock() { close(descriptor_); }

}  // namespace kvrecall
