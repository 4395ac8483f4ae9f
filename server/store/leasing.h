#pragma once

// Samples taken from the queue: who waits for one, what is appended to one, and
// how one is given back. Thread-safe, but for what says otherwise.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/store/calls.h"
#include "server/store/event_log.h"
#include "server/store/group_commit.h"
#include "server/store/lease_table.h"
#include "server/store/sample_queue.h"
#include "server/store/store.h"

namespace kvrecall {

class Leasing {
 public:
  // What it needs of the store; called on the writer thread, but for `refused`.
  struct Hooks {
    std::function<bool()> has_waiting;  // samples, by the last commit
    // Of an error after which the write is tried again.
    std::function<void(const absl::Status&)> failed;
    // Of events that Append refuses for what they are, on its thread.
    std::function<void(const std::vector<Event>&)> refused;
  };

  // `retry` is how long it waits after an error of the disk.
  Leasing(SampleQueue* queue, EventLog* log, absl::Duration retry, Hooks hooks)
      : queue_(*queue), log_(*log), retry_(retry), hooks_(std::move(hooks)) {}

  // Once, when the writer has begun.
  void Start(GroupCommit* writer) { writer_ = writer; }

  // As the methods of Store.
  absl::StatusOr<LeasedSample> Lease();
  void Release(const LeasedSample& sample);
  void ReleaseAfterDeath(const LeasedSample& sample);
  absl::Status Append(const LeasedSample& sample, std::vector<Event> events);
  void Stop();

  // Tells the run's leases that it was cancelled, or is out of time.
  void CancelRun(const std::string& run_id) { leases_.CancelRun(run_id); }

  // On the writer thread, when samples wait.
  void WakeParked();

 private:
  struct Taken {
    TakenSample row;
    std::shared_ptr<LeaseEntry> lease;
  };
  using TakeResult = absl::StatusOr<Taken>;
  using PendingTake = std::shared_ptr<Pending<TakeResult>>;

  // The lease of what was taken; DataLoss if the database holds what is not a
  // sample of ours.
  static absl::StatusOr<LeasedSample> MakeLease(const Taken& taken);
  bool IsStopped();
  void PostTake(PendingTake pending);
  void OnTaken(const PendingTake& pending, std::optional<TakenSample> taken);
  void Park(const PendingTake& pending);
  void WakeParkedLater();
  Command ReleaseCommand(std::shared_ptr<LeaseEntry> lease,
                         bool after_death = false);
  Command AppendCommand(std::shared_ptr<LeaseEntry> lease,
                        std::vector<Event> events);

  SampleQueue& queue_;  // on the writer thread
  EventLog& log_;       // on the writer thread
  const absl::Duration retry_;
  const Hooks hooks_;
  GroupCommit* writer_ = nullptr;
  LeaseTable leases_;

  std::mutex mutex_;
  // Callers of Lease: the queue is empty, or could not be looked at.
  std::vector<PendingTake> parked_;
  bool stopped_ = false;  // guarded by mutex_
};

}  // namespace kvrecall
