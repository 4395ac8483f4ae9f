#include "server/store/reader_pool.h"

namespace kvrecall {

absl::StatusOr<std::unique_ptr<RecordsReader>> ReaderPool::Borrow() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<RecordsReader> reader = std::move(idle_.back());
      idle_.pop_back();
      return reader;
    }
  }
  return RecordsReader::Open(path_);
}

void ReaderPool::Return(std::unique_ptr<RecordsReader> reader) {
  std::lock_guard lock(mutex_);
  if (idle_.size() < keep_) idle_.push_back(std::move(reader));
}

void ReaderPool::CloseIdle() {
  std::lock_guard lock(mutex_);
  keep_ = 0;
  idle_.clear();
}

}  // namespace kvrecall
