#include "client/data/staged_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <unistd.h>

#include "common/base/status_macros.h"

namespace kvrecall {

StagedFile::StagedFile(std::string path, std::string target,
                       FileDescriptor file)
    : path_(std::move(path)),
      target_(std::move(target)),
      file_(std::move(file)) {}

StagedFile::StagedFile(StagedFile&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      target_(std::move(other.target_)),
      file_(std::move(other.file_)),
      bytes_(other.bytes_) {}

StagedFile::~StagedFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

absl::StatusOr<StagedFile> StagedFile::Create(const std::string& folder,
                                              const std::string& name) {
  // A name of its own, beside those of other processes and of one that died.
  constexpr int kNames = 1000;
  std::string path;
  for (int i = 0; i < kNames; ++i) {
    path = absl::StrCat(folder, "/.", name, ".", i, ".part");
    FileDescriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.is_open()) {
      return StagedFile(std::move(path), absl::StrCat(folder, "/", name),
                        std::move(file));
    }
    if (errno != EEXIST) break;
  }
  return PathError("make", path);
}

absl::Status StagedFile::Append(std::string_view bytes) {
  RETURN_IF_ERROR(file_.Write(bytes, path_));
  bytes_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

bool StagedFile::SameAs(const std::string& path) const {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error || size != static_cast<uintmax_t>(bytes_)) return false;
  std::ifstream mine(path_, std::ios::binary);
  std::ifstream other(path, std::ios::binary);
  using Bytes = std::istreambuf_iterator<char>;
  return mine && other &&
         std::equal(Bytes(mine), Bytes(), Bytes(other), Bytes());
}

absl::Status StagedFile::Finish() {
  RETURN_IF_ERROR(file_.Sync(path_));
  file_ = FileDescriptor();
  return absl::OkStatus();
}

absl::Status StagedFile::Commit() {
  if (::rename(path_.c_str(), target_.c_str()) != 0) {
    return PathError("put a file at", target_);
  }
  path_.clear();
  return absl::OkStatus();
}

}  // namespace kvrecall
