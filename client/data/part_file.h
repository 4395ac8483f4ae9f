#pragma once

// A download that is not whole yet: the bytes that came, and beside them
// (PATH.json) where they came from, so that a later call can go on. Not
// thread-safe. One process at a time: the file is locked while it is open.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/data/file_descriptor.h"

namespace kvrecall {

class PartFile {
 public:
  // What the bytes are part of.
  struct Origin {
    std::string url;
    // The server's name for this content: its strong ETag, else its
    // Last-Modified; empty: it gave none, so that nobody can go on.
    std::string validator;
    int64_t bytes = 0;  // of the whole; 0: the server did not say
  };

  // Opens what is at `path`, or starts it, empty. UNAVAILABLE where another
  // process has it open, FAILED_PRECONDITION where it cannot be opened.
  static absl::StatusOr<PartFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  // That of the bytes; empty where it is not known.
  const Origin& origin() const { return origin_; }

  // Whether there are bytes that a later call can go on behind.
  bool CanGoOn() const { return size_ > 0 && !origin_.validator.empty(); }

  // Forgets what is there and starts anew from `origin`. RESOURCE_EXHAUSTED
  // where the disk takes no more, as below.
  absl::Status Restart(Origin origin);

  // Puts bytes to its end.
  absl::Status Append(std::string_view bytes);

  // Removes it, or makes it `path`, and forgets the origin. Call last.
  void Remove();
  absl::Status MoveTo(const std::string& path);

 private:
  PartFile(std::string path, FileDescriptor file, int64_t size);
  std::string NotePath() const { return path_ + ".json"; }
  void ReadNote();
  absl::Status WriteNote() const;

  std::string path_;
  FileDescriptor file_;
  int64_t size_ = 0;
  Origin origin_;
};

}  // namespace kvrecall
