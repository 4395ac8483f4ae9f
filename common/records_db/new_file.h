#pragma once

// A file that has its name only once it is whole and on the disk: written
// beside its place, with ".part" behind its name. One thread at a time.

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvrecall {

class NewFile {
 public:
  enum class Existing { kRefuse, kReplace };

  // Makes the empty part. With kRefuse, AlreadyExists: `file` is there, or its
  // part is, which somebody else writes, or left behind when he was killed.
  // With kReplace what is there of both is overwritten. InvalidArgument: it
  // cannot be made there. ResourceExhausted: the disk is full.
  static absl::StatusOr<NewFile> Make(const std::string& file,
                                      Existing existing = Existing::kRefuse);
  NewFile(NewFile&& other) noexcept
      : file_(std::move(other.file_)),
        part_(std::move(other.part_)),
        existing_(other.existing_),
        exists_(std::exchange(other.exists_, false)) {}
  NewFile& operator=(NewFile&&) = delete;
  // Removes what was not committed, with all that SQLite may have put beside
  // it.
  ~NewFile();

  // Where it is written until then.
  const std::string& path() const { return part_; }

  // Syncs it and gives it its name; with kRefuse not even over a file that
  // appeared meanwhile. Once, last. After an error there is no new file.
  absl::Status Commit();

 private:
  NewFile(const std::string& file, Existing existing);
  absl::Status Name();

  std::string file_, part_;
  Existing existing_;
  bool exists_ = false;
};

}  // namespace kvrecall
