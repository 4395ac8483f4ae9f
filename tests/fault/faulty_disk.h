#pragma once

// A disk that fails when it is told to, for tests: a SQLite VFS over the
// default one. While it exists, every connection that is opened goes through
// it, so that what is tested needs to know nothing of it; all must be closed
// before it goes. One at a time. Thread-safe.
//
// Counted is whatever a disk may refuse: to make or remove a file, to write, to
// cut off, to sync, to give the log's index another page. Syncs are counted and
// not done: processes die in these tests, machines do not.

#include <cstdint>
#include <memory>

namespace kvrecall {

enum class DiskFault {
  kFull,       // SQLITE_FULL; where there is no such answer, an I/O error
  kTornWrite,  // as kFull, after the first half of what was to be written
  kIoError,
};

const char* DiskFaultName(DiskFault fault);

class FaultyDisk {
 public:
  FaultyDisk();   // in good order
  ~FaultyDisk();  // the default VFS is what it was before

  // The `n`th operation from now on fails, n >= 1; with `lasting` all that
  // follow do too, until Mend.
  void FailAt(int64_t n, DiskFault fault, bool lasting);
  // Nothing fails any more.
  void Mend();

  int64_t faults() const;  // since FailAt
  bool failing() const;    // a lasting fault has begun and was not mended

  class Counter;

 private:
  struct Vfs;
  const std::unique_ptr<Counter> counter_;
  const std::unique_ptr<Vfs> vfs_;
};

}  // namespace kvrecall
