#pragma once

// Runs whose samples this process does not run, because it would compute them
// otherwise than they began: half a study by one program or kind of device and
// half by another is none. Which they are is found out once, before anything is
// leased. Thread-safe.

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "common/record/run_info.h"

namespace kvrecall {

class HeldRuns {
 public:
  using Reasons = std::map<std::string, std::string, std::less<>>;  // by run id

  void Set(Reasons reasons);

  bool empty() const;
  std::vector<std::string> ids() const;
  // Empty: the run is not held.
  std::string Why(std::string_view run_id) const;
  // FailedPrecondition with RUN_HELD, if the run is.
  absl::Status Check(std::string_view run_id) const;
  // Notes in a run that has not ended why it is held, if it is.
  void Note(RunInfo& run) const;

 private:
  mutable std::mutex mutex_;
  Reasons reasons_;  // guarded by mutex_
};

}  // namespace kvrecall
