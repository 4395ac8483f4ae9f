#pragma once

// A file that is there only once it is whole: written beside its place, with
// ".part" behind its name, then renamed. Not thread-safe.

#include <fstream>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvrecall {

class WholeFile {
 public:
  // AlreadyExists: there is `path`, and not `overwrite`. InvalidArgument: it
  // cannot be written there.
  static absl::StatusOr<std::unique_ptr<WholeFile>> Create(
      const std::string& path, bool overwrite);
  // Removes what was not committed.
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  std::ostream& stream() { return stream_; }

  // ResourceExhausted where the disk took no more.
  absl::Status Check() const;

  // Gives it its name, over a file that is there. Once, last. Fails as Check,
  // or with InvalidArgument where the place cannot be taken.
  absl::Status Commit();

 private:
  explicit WholeFile(const std::string& path)
      : path_(path), part_(path + ".part") {}

  const std::string path_, part_;
  std::ofstream stream_;
  bool has_part_ = false;  // to be removed
};

}  // namespace kvrecall
