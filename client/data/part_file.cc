#include "client/data/part_file.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

// Whether the open file is still what the path leads to: another process may
// have finished and removed it before the lock was had.
bool IsAt(const FileDescriptor& file, const std::string& path,
          struct stat* opened) {
  struct stat named {};
  return ::fstat(file.get(), opened) == 0 &&
         ::stat(path.c_str(), &named) == 0 && opened->st_dev == named.st_dev &&
         opened->st_ino == named.st_ino;
}

}  // namespace

PartFile::PartFile(std::string path, FileDescriptor file, int64_t size)
    : path_(std::move(path)), file_(std::move(file)), size_(size) {}

absl::StatusOr<PartFile> PartFile::Open(const std::string& path) {
  while (true) {
    FileDescriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    if (!file.is_open()) return PathError("open", path);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return PathError("lock", path);
      return absl::UnavailableError(
          absl::StrCat(path, ": another kvrecall-client is downloading it"));
    }
    struct stat opened {};
    if (!IsAt(file, path, &opened)) continue;
    PartFile part(path, std::move(file), opened.st_size);
    part.ReadNote();
    return part;
  }
}

// A note that is not there, or not whole, is as good as none.
void PartFile::ReadNote() {
  std::ifstream stream(NotePath(), std::ios::binary);
  const Json note = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
  if (!note.is_object() || !note.contains("url") ||
      !note.contains("validator") || !note.contains("bytes")) {
    return;
  }
  if (!note["url"].is_string() || !note["validator"].is_string() ||
      !note["bytes"].is_number_integer()) {
    return;
  }
  origin_ = {note["url"].get<std::string>(),
             note["validator"].get<std::string>(),
             note["bytes"].get<int64_t>()};
}

absl::Status PartFile::WriteNote() const {
  Json note;
  note["url"] = origin_.url;
  note["validator"] = origin_.validator;
  note["bytes"] = origin_.bytes;
  std::ofstream stream(NotePath(), std::ios::binary | std::ios::trunc);
  stream << note.dump(1, ' ', false, Json::error_handler_t::replace) << "\n";
  stream.close();
  return stream ? absl::OkStatus() : WriteError(NotePath());
}

absl::Status PartFile::Restart(Origin origin) {
  // The old note goes first: it must not be found with other bytes.
  std::error_code error;
  std::filesystem::remove(NotePath(), error);
  if (::ftruncate(file_.get(), 0) != 0) return WriteError(path_);
  size_ = 0;
  origin_ = std::move(origin);
  return WriteNote();
}

absl::Status PartFile::Append(std::string_view bytes) {
  // A write that fails may have taken a part of them.
  if (absl::Status status = file_.Write(bytes, path_); !status.ok()) {
    struct stat now {};
    if (::fstat(file_.get(), &now) == 0) size_ = now.st_size;
    return status;
  }
  size_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

void PartFile::Remove() {
  ::unlink(NotePath().c_str());
  ::unlink(path_.c_str());
}

absl::Status PartFile::MoveTo(const std::string& path) {
  if (::rename(path_.c_str(), path.c_str()) != 0) {
    return PathError("put a file at", path);
  }
  ::unlink(NotePath().c_str());
  return absl::OkStatus();
}

}  // namespace kvrecall
