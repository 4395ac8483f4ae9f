#include "client/whole_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"

namespace kvrecall {

absl::StatusOr<std::unique_ptr<WholeFile>> WholeFile::Create(
    const std::string& path, bool overwrite) {
  std::error_code error;
  if (!overwrite && std::filesystem::exists(path, error))
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists; give --force to overwrite it"));
  std::unique_ptr<WholeFile> file(new WholeFile(path));
  file->stream_.open(file->part_, std::ios::binary | std::ios::trunc);
  if (!file->stream_)
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write ", file->part_, ": ", std::strerror(errno)));
  file->has_part_ = true;
  return file;
}

WholeFile::~WholeFile() {
  if (!has_part_) return;
  stream_.close();
  std::error_code error;
  std::filesystem::remove(part_, error);
}

absl::Status WholeFile::Check() const {
  if (stream_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot write ", part_, ": is the disk full?"));
}

absl::Status WholeFile::Commit() {
  stream_.close();
  RETURN_IF_ERROR(Check());
  std::error_code error;
  std::filesystem::rename(part_, path_, error);
  if (error)
    return absl::InvalidArgumentError(
        absl::StrCat("cannot rename ", part_, ": ", error.message()));
  has_part_ = false;
  return absl::OkStatus();
}

}  // namespace kvrecall
