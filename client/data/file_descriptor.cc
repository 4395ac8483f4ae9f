#include "client/data/file_descriptor.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include <unistd.h>

namespace kvrecall {

FileDescriptor::~FileDescriptor() {
  if (is_open()) ::close(descriptor_);
}

absl::Status FileDescriptor::Write(std::string_view bytes,
                                   const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteError(path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status FileDescriptor::Sync(const std::string& path) {
  return ::fsync(descriptor_) == 0 ? absl::OkStatus() : WriteError(path);
}

absl::Status WriteError(const std::string& path) {
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
}

absl::Status PathError(const char* verb, const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot ", verb, " ", path, ": ", std::strerror(errno)));
}

}  // namespace kvrecall
