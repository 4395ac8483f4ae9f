#pragma once

// A few read-only connections, each lent to one caller at a time. Thread-safe.

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/records_db/reader.h"

namespace kvrecall {

class ReaderPool {
 public:
  explicit ReaderPool(std::string path) : path_(std::move(path)) {}

  // Calls `read` with a connection of its own; opens one if none is idle.
  template <typename Read>
  auto With(Read read) -> decltype(read(std::declval<RecordsReader&>())) {
    absl::StatusOr<std::unique_ptr<RecordsReader>> reader = Borrow();
    if (!reader.ok()) return reader.status();
    auto result = read(**reader);
    Return(*std::move(reader));
    return result;
  }

  // Closes the idle connections; those lent are closed when they come back,
  // and later ones too.
  void CloseIdle();

 private:
  absl::StatusOr<std::unique_ptr<RecordsReader>> Borrow();
  void Return(std::unique_ptr<RecordsReader> reader);

  const std::string path_;
  std::mutex mutex_;
  size_t keep_ = 8;  // idle connections at most
  std::vector<std::unique_ptr<RecordsReader>> idle_;
};

}  // namespace kvrecall
