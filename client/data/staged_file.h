#pragma once

// A file that is not there until it is whole: written under a hidden name
// beside its place, then renamed. Not thread-safe; any number of processes may
// write to one folder.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/data/file_descriptor.h"

namespace kvrecall {

class StagedFile {
 public:
  // Starts FOLDER/NAME, empty; the folder exists. FAILED_PRECONDITION
  // where nothing can be made there.
  static absl::StatusOr<StagedFile> Create(const std::string& folder,
                                           const std::string& name);
  StagedFile(StagedFile&& other) noexcept;
  StagedFile& operator=(StagedFile&&) = delete;
  // Removes what was not committed.
  ~StagedFile();

  // Where it is written to until then, and where it is to be.
  const std::string& path() const { return path_; }
  const std::string& target() const { return target_; }
  int64_t bytes() const { return bytes_; }

  // Puts bytes to its end. RESOURCE_EXHAUSTED where the disk takes no more.
  absl::Status Append(std::string_view bytes);

  // Whether another file has the same bytes; false where it cannot be read.
  bool SameAs(const std::string& path) const;

  // Brings it to the disk; once, after the last Append. Fails as that does.
  absl::Status Finish();

  // Puts it into its place, over a file that is there. Call after Finish, once.
  // FAILED_PRECONDITION where the place cannot be taken.
  absl::Status Commit();

 private:
  StagedFile(std::string path, std::string target, FileDescriptor file);

  std::string path_;  // empty after the commit
  std::string target_;
  FileDescriptor file_;
  int64_t bytes_ = 0;
};

}  // namespace kvrecall
