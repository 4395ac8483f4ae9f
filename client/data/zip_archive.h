#pragma once

// Reads a zip archive, a member at a time and in bounded memory, through
// libzip. Not thread-safe: an archive is one thread's.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct zip;

namespace kvrecall {

// Takes the bytes of a file, part by part; its first error ends the reading.
using ByteSink = absl::FunctionRef<absl::Status(std::string_view)>;

class ZipArchive {
 public:
  struct Member {
    // As the archive has it: nothing says that it is a safe path.
    std::string name;
    uint64_t index = 0;
    // Unpacked, as the archive says.
    int64_t bytes = 0;
  };

  // INVALID_ARGUMENT "PATH: reason" where it cannot be opened or is no archive.
  static absl::StatusOr<ZipArchive> Open(const std::string& path);

  // Its files, in their order; folders are left out.
  absl::StatusOr<std::vector<Member>> Members() const;

  // "PATH: MEMBER", as messages name it: in one line, whatever the name is.
  std::string Shown(const Member& member) const;

  // Gives the member's bytes to `sink`. INVALID_ARGUMENT "PATH: MEMBER: reason"
  // where it is damaged (its checksum is verified at its end), encrypted or
  // longer than it says; the sink's own error as it is.
  absl::Status Read(const Member& member, ByteSink sink) const;

 private:
  struct Discard {
    void operator()(zip* archive) const;
  };

  ZipArchive(std::string path, zip* archive);
  absl::Status Error(const Member& member, std::string_view reason) const;

  std::string path_;
  std::unique_ptr<zip, Discard> archive_;
};

}  // namespace kvrecall
