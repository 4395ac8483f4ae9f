#pragma once

// An open file of the operating system. Owns it; not thread-safe.

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace kvrecall {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  // Takes what open(2) returned; negative is none.
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileDescriptor();

  bool is_open() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

  // Writes all of it where the file's position is. RESOURCE_EXHAUSTED names
  // `path` and the system's reason; a part may be written then.
  absl::Status Write(std::string_view bytes, const std::string& path);

  // What was written is on the disk after this. Fails as Write does.
  absl::Status Sync(const std::string& path);

 private:
  int descriptor_ = -1;
};

// RESOURCE_EXHAUSTED "cannot write PATH: REASON" and FAILED_PRECONDITION
// "cannot VERB PATH: REASON", the reason being errno's.
absl::Status WriteError(const std::string& path);
absl::Status PathError(const char* verb, const std::string& path);

}  // namespace kvrecall
