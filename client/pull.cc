#include "client/pull.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// What a stream of chunks becomes.
class PartFile {
 public:
  explicit PartFile(const std::string& path)
      : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
    if (!file_)
      opened_ = absl::InvalidArgumentError(
          absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  ~PartFile() {
    std::error_code error;
    if (!path_.empty()) fs::remove(path_, error);
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const absl::Status& opened() const { return opened_; }
  int64_t size() const { return size_; }

  absl::Status Add(const std::string& bytes) {
    file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    digest_.Add(bytes);
    size_ += static_cast<int64_t>(bytes.size());
    return CheckDisk();
  }

  // Gives the file its name, if it is what the server sent.
  absl::Status FinishAs(const std::string& path, const ExportedFile& sent) {
    file_.close();
    RETURN_IF_ERROR(CheckDisk());
    if (size_ != sent.size || digest_.HexDigest() != sent.digest)
      return absl::DataLossError(
          absl::StrCat("what came is not what the server sent (", size_, " of ",
                       sent.size, " bytes); try again"));
    std::error_code error;
    fs::rename(path_, path, error);
    if (error)
      return absl::InvalidArgumentError(
          absl::StrCat("cannot rename ", path_, ": ", error.message()));
    path_.clear();
    return absl::OkStatus();
  }

 private:
  absl::Status CheckDisk() const {
    if (file_) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot write ", path_, ": is the disk full?"));
  }

  std::string path_;  // empty once it has its name
  std::ofstream file_;
  absl::Status opened_;
  Sha256 digest_;
  int64_t size_ = 0;
};

}  // namespace

absl::Status PullRun(const Connection& connection, const std::string& run_id,
                     const std::string& path, bool overwrite,
                     const std::function<void(int64_t)>& progress) {
  std::error_code error;
  if (!overwrite && fs::exists(path, error))
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists; give --force to overwrite it"));
  PartFile part(path + ".part");
  RETURN_IF_ERROR(part.opened());
  ASSIGN_OR_RETURN(const ExportedFile sent,
                   connection.ExportRun(run_id, [&](const std::string& bytes) {
                     absl::Status written = part.Add(bytes);
                     progress(part.size());
                     return written;
                   }));
  return part.FinishAs(path, sent);
}

}  // namespace kvrecall
