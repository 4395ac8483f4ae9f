#pragma once

// The samples that this process has taken from the queue. Thread-safe.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/store/event_log.h"
#include "server/store/store.h"

namespace kvrecall {

// One lease. The constants are set before it is shared, but for `config`: that
// is there before anybody has the lease's sample, and so before its first
// event.
struct LeaseEntry {
  LeaseKey key;
  std::string run_id;
  std::shared_ptr<const RunConfig> config;
  std::atomic<bool> cancelled = false;

  // Guarded by the table's mutex.
  bool over = false;    // its end was appended, or it was released
  absl::Status failed;  // the first error in writing its events
};

class LeaseTable {
 public:
  void Add(const std::string& sample_id, std::shared_ptr<LeaseEntry> lease);

  // Begins an append that, if `ends`, is the lease's last. Null: the run was
  // cancelled, the events are to be dropped. FailedPrecondition: not leased,
  // or over. Otherwise the first error in writing its events, if any.
  absl::StatusOr<std::shared_ptr<LeaseEntry>> BeginAppend(
      const LeasedSample& sample, bool ends);

  // Null: not leased, or over. Afterwards it is over.
  std::shared_ptr<LeaseEntry> BeginRelease(const LeasedSample& sample);

  void Fail(LeaseEntry& lease, const absl::Status& status);
  absl::Status Failure(const LeaseEntry& lease);

  void Remove(const LeaseEntry& lease);
  void CancelRun(const std::string& run_id);  // tells and removes its leases

 private:
  std::shared_ptr<LeaseEntry> Find(const LeasedSample& sample);

  std::mutex mutex_;
  // By run, attempt and sample as text.
  std::unordered_map<std::string, std::shared_ptr<LeaseEntry>> leases_;
};

}  // namespace kvrecall
