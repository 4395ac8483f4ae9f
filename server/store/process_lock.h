#pragma once

// Keeps a second server off the same database: SQLite before 3.51.3 can
// damage a database in WAL mode when two connections write or checkpoint at
// once. The lock goes with the process, however it ends.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace kvrecall {

class ProcessLock {
 public:
  // Locks the file `path` + ".lock" (made if needed, never removed; symbolic
  // links of `path` are followed). FailedPrecondition: another process, which
  // the message names, or this one has it. NotFound: no such folder.
  static absl::StatusOr<std::unique_ptr<ProcessLock>> Take(
      const std::string& path);

  // Whether Take could be had now, without making a file. FailedPrecondition as
  // above. Holds the lock for a moment where nobody has it.
  static absl::Status Check(const std::string& path);

  ~ProcessLock();  // lets go
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;

 private:
  explicit ProcessLock(int descriptor) : descriptor_(descriptor) {}
  const int descriptor_;
};

}  // namespace kvrecall
