#pragma once

// When each event of a run was committed, as somebody sees who looks into the
// database file every millisecond. Owns one thread.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/records_db/sqlite.h"

namespace kvrecall {

class CommitClock {
 public:
  static absl::StatusOr<std::unique_ptr<CommitClock>> Start(
      const std::string& database, std::string run_id);
  ~CommitClock();

  // Ends the looking. [sequence − 1]: MonotonicNanos at most a millisecond
  // after the commit; no later than what is seen at this moment.
  std::vector<int64_t> Stop();

 private:
  CommitClock(std::unique_ptr<Database> database, std::string run_id);
  void Run();
  // The run's last sequence; 0 where it cannot be read just now.
  int64_t LastSequence();

  const std::unique_ptr<Database> database_;
  const std::string run_id_;
  std::vector<int64_t> seen_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace kvrecall
