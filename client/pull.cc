#include "client/pull.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/whole_file.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/records_db/merge_file.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// Files that are gone in the end, with what SQLite leaves beside them.
class ScratchFiles {
 public:
  ~ScratchFiles() {
    std::error_code error;
    for (const std::string& path : paths_)
      for (const char* suffix : {"", "-wal", "-shm"})
        fs::remove(path + suffix, error);
  }
  const std::string& Add(std::string path) {
    return paths_.emplace_back(std::move(path));
  }
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  std::vector<std::string> paths_;
};

}  // namespace

absl::Status PullRun(const Connection& connection, const std::string& run_id,
                     const std::string& path, bool overwrite,
                     const std::function<void(int64_t)>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WholeFile> file,
                   WholeFile::Create(path, overwrite));
  Sha256 digest;
  int64_t size = 0;
  ASSIGN_OR_RETURN(const ExportedFile sent,
                   connection.ExportRun(run_id, [&](const std::string& bytes) {
                     file->stream() << bytes;
                     digest.Add(bytes);
                     size += static_cast<int64_t>(bytes.size());
                     progress(size);
                     return file->Check();
                   }));
  if (size != sent.size || digest.HexDigest() != sent.digest)
    return absl::DataLossError(
        absl::StrCat("what came is not what the server sent (", size, " of ",
                     sent.size, " bytes); try again"));
  return file->Commit();
}

absl::StatusOr<std::string> PullStudy(
    const std::vector<PlacedRun>& runs, const std::string& path, bool overwrite,
    const std::function<void(int64_t)>& progress,
    const std::function<void(std::string_view)>& on_message) {
  if (runs.size() == 1) {
    const PlacedRun& run = runs.front();
    RETURN_IF_ERROR(
        PullRun(*run.connection, run.info.run_id, path, overwrite, progress));
    return run.info.run_id;
  }
  RETURN_IF_ERROR(JoinRuns(runs).status());  // that they can be merged
  std::error_code error;
  if (!overwrite && fs::exists(path, error))
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists; give --force to overwrite it"));
  ScratchFiles files;
  int64_t pulled = 0;
  for (const PlacedRun& run : runs) {
    const std::string& file =
        files.Add(absl::StrCat(path, ".", files.paths().size() + 1, ".tmp"));
    int64_t size = 0;
    RETURN_IF_ERROR(PullRun(*run.connection, run.info.run_id, file,
                            /*overwrite=*/true, [&](int64_t bytes) {
                              size = bytes;
                              progress(pulled + bytes);
                            }));
    pulled += size;
  }
  on_message(absl::StrCat("merges ", runs.size(), " runs"));
  MergeOptions merge;
  merge.overwrite = overwrite;
  ASSIGN_OR_RETURN(const std::vector<MergedRun> merged,
                   MergeFiles(files.paths(), path, merge));
  return merged.front().info.run_id;
}

}  // namespace kvrecall
