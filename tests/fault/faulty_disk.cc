#include "tests/fault/faulty_disk.h"

#include <mutex>
#include <new>
#include <optional>

#include "sqlite3.h"

namespace kvrecall {

// Which operations fail.
class FaultyDisk::Counter {
 public:
  // Of an operation that is about to be done; nothing: it may.
  std::optional<DiskFault> Next() {
    const std::lock_guard lock(mutex_);
    ++count_;
    if (at_ == 0 || count_ < at_ || (count_ > at_ && !lasting_))
      return std::nullopt;
    ++faults_;
    return fault_;
  }

  void FailAt(int64_t n, DiskFault fault, bool lasting) {
    const std::lock_guard lock(mutex_);
    count_ = faults_ = 0;
    at_ = n;
    fault_ = fault;
    lasting_ = lasting;
  }

  void Mend() {
    const std::lock_guard lock(mutex_);
    at_ = 0;
  }

  int64_t faults() const {
    const std::lock_guard lock(mutex_);
    return faults_;
  }

  bool failing() const {
    const std::lock_guard lock(mutex_);
    return at_ != 0 && lasting_ && faults_ > 0;
  }

 private:
  mutable std::mutex mutex_;
  int64_t count_ = 0;   // operations since FailAt
  int64_t faults_ = 0;  // of them, those that failed
  int64_t at_ = 0;      // 0: none fails
  DiskFault fault_ = DiskFault::kFull;
  bool lasting_ = false;
};

struct FaultyDisk::Vfs {
  sqlite3_vfs table = {};
  sqlite3_vfs* real = nullptr;
  Counter* counter = nullptr;
};

namespace {

using Counter = FaultyDisk::Counter;

// An open file; the real one lies behind it.
struct File {
  sqlite3_file base;  // first: SQLite's view of it
  Counter* counter;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File& Of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
sqlite3_file* RealOf(sqlite3_file* file) { return Of(file).real(); }
const sqlite3_io_methods& Real(sqlite3_file* file) {
  return *RealOf(file)->pMethods;
}

int Write(sqlite3_file* file, const void* bytes, int size,
          sqlite3_int64 offset) {
  const std::optional<DiskFault> fault = Of(file).counter->Next();
  if (!fault) return Real(file).xWrite(RealOf(file), bytes, size, offset);
  if (*fault == DiskFault::kIoError) return SQLITE_IOERR_WRITE;
  if (*fault == DiskFault::kTornWrite)
    Real(file).xWrite(RealOf(file), bytes, size / 2, offset);
  return SQLITE_FULL;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (Of(file).counter->Next()) return SQLITE_IOERR_TRUNCATE;
  return Real(file).xTruncate(RealOf(file), size);
}

int Sync(sqlite3_file* file, int) {
  return Of(file).counter->Next() ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

int ShmMap(sqlite3_file* file, int page, int size, int extend,
           void volatile** memory) {
  const int code =
      Real(file).xShmMap(RealOf(file), page, size, /*extend=*/0, memory);
  if (code != SQLITE_OK || *memory != nullptr || extend == 0) return code;
  if (Of(file).counter->Next()) return SQLITE_IOERR_SHMSIZE;
  return Real(file).xShmMap(RealOf(file), page, size, extend, memory);
}

// What cannot fail for want of space is handed on.
constexpr sqlite3_io_methods kMethods = {
    .iVersion = 3,
    .xClose = [](sqlite3_file* f) { return Real(f).xClose(RealOf(f)); },
    .xRead =
        [](sqlite3_file* f, void* bytes, int size, sqlite3_int64 offset) {
          return Real(f).xRead(RealOf(f), bytes, size, offset);
        },
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize =
        [](sqlite3_file* f, sqlite3_int64* size) {
          return Real(f).xFileSize(RealOf(f), size);
        },
    .xLock = [](sqlite3_file* f,
                int kind) { return Real(f).xLock(RealOf(f), kind); },
    .xUnlock = [](sqlite3_file* f,
                  int kind) { return Real(f).xUnlock(RealOf(f), kind); },
    .xCheckReservedLock =
        [](sqlite3_file* f, int* held) {
          return Real(f).xCheckReservedLock(RealOf(f), held);
        },
    .xFileControl =
        [](sqlite3_file* f, int what, void* value) {
          return Real(f).xFileControl(RealOf(f), what, value);
        },
    .xSectorSize =
        [](sqlite3_file* f) { return Real(f).xSectorSize(RealOf(f)); },
    .xDeviceCharacteristics =
        [](sqlite3_file* f) {
          return Real(f).xDeviceCharacteristics(RealOf(f));
        },
    .xShmMap = ShmMap,
    .xShmLock =
        [](sqlite3_file* f, int offset, int count, int flags) {
          return Real(f).xShmLock(RealOf(f), offset, count, flags);
        },
    .xShmBarrier = [](sqlite3_file* f) { Real(f).xShmBarrier(RealOf(f)); },
    .xShmUnmap =
        [](sqlite3_file* f, int remove) {
          return Real(f).xShmUnmap(RealOf(f), remove);
        },
    .xFetch =
        [](sqlite3_file* f, sqlite3_int64 offset, int size, void** at) {
          return Real(f).xFetch(RealOf(f), offset, size, at);
        },
    .xUnfetch =
        [](sqlite3_file* f, sqlite3_int64 offset, void* at) {
          return Real(f).xUnfetch(RealOf(f), offset, at);
        },
};

}  // namespace

const char* DiskFaultName(DiskFault fault) {
  switch (fault) {
    case DiskFault::kFull:
      return "full";
    case DiskFault::kTornWrite:
      return "torn_write";
    case DiskFault::kIoError:
      return "io_error";
  }
  return "";
}

FaultyDisk::FaultyDisk()
    : counter_(std::make_unique<Counter>()), vfs_(std::make_unique<Vfs>()) {
  sqlite3_vfs* const real = sqlite3_vfs_find(nullptr);
  vfs_->real = real;
  vfs_->counter = counter_.get();
  sqlite3_vfs& table = vfs_->table;
  table = *real;
  table.iVersion = 2;  // without replacing system calls
  table.szOsFile = static_cast<int>(sizeof(File)) + real->szOsFile;
  table.pNext = nullptr;
  table.zName = "faulty";
  table.pAppData = vfs_.get();
  table.xOpen = [](sqlite3_vfs* vfs, const char* name, sqlite3_file* file,
                   int flags, int* out_flags) -> int {
    const Vfs& self = *static_cast<Vfs*>(vfs->pAppData);
    auto* const made = new (file) File{{nullptr}, self.counter};
    int exists = 1;
    if (name != nullptr && (flags & SQLITE_OPEN_CREATE) != 0)
      self.real->xAccess(self.real, name, SQLITE_ACCESS_EXISTS, &exists);
    if (exists == 0 && self.counter->Next()) return SQLITE_CANTOPEN;
    const int code =
        self.real->xOpen(self.real, name, made->real(), flags, out_flags);
    if (made->real()->pMethods != nullptr) made->base.pMethods = &kMethods;
    return code;
  };
  table.xDelete = [](sqlite3_vfs* vfs, const char* name, int sync) -> int {
    const Vfs& self = *static_cast<Vfs*>(vfs->pAppData);
    int exists = 0;
    self.real->xAccess(self.real, name, SQLITE_ACCESS_EXISTS, &exists);
    if (exists != 0 && self.counter->Next()) return SQLITE_IOERR_DELETE;
    (void)sync;  // as all syncs
    return self.real->xDelete(self.real, name, 0);
  };
  // The rest of unix's functions do not look at the table that they are given.
  sqlite3_vfs_register(&table, /*makeDflt=*/1);
}

FaultyDisk::~FaultyDisk() { sqlite3_vfs_unregister(&vfs_->table); }

void FaultyDisk::FailAt(int64_t n, DiskFault fault, bool lasting) {
  counter_->FailAt(n, fault, lasting);
}

void FaultyDisk::Mend() { counter_->Mend(); }

int64_t FaultyDisk::faults() const { return counter_->faults(); }

bool FaultyDisk::failing() const { return counter_->failing(); }

}  // namespace kvrecall
