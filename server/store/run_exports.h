#pragma once

// The files that runs are exported through: written beside the database, where
// there is room for data of its size, and without a name as soon as they are
// open. Thread-safe.

#include <atomic>
#include <cstdint>
#include <functional>
#include <istream>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvrecall {

class RunExports {
 public:
  explicit RunExports(std::string database) : database_(std::move(database)) {}

  // As Store::ExportRun.
  absl::StatusOr<std::unique_ptr<std::istream>> Make(
      std::string_view run_id, const std::function<bool()>& stop);

  // Files that a server which was killed left behind. Before the first Make.
  void RemoveLeftovers() const;

 private:
  const std::string database_;
  std::atomic<int64_t> made_ = 0;
};

}  // namespace kvrecall
