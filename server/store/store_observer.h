#pragma once

// What the store tells of its work: the seam through which metrics see it.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"

#include "common/record/record.h"
#include "common/records_db/sqlite.h"
#include "server/store/appended_events.h"

namespace kvrecall {

// Samples that ended, by what ended them. One that its run's cancel ended is
// among the cancelled from then on, also while the engine still holds it.
struct SampleEnds {
  int64_t ok = 0;      // with an EOS
  int64_t length = 0;  // with max_new_tokens
  int64_t failed = 0;
  int64_t cancelled = 0;
  int64_t deadline = 0;  // failed because the run's time was over
  int64_t reused = 0;    // of those: with the records of an earlier run

  // With an event that says so.
  int64_t done_or_failed() const { return ok + length + failed + deadline; }
  void Add(const SampleEnds& other) {
    ok += other.ok;
    length += other.length;
    failed += other.failed;
    cancelled += other.cancelled;
    deadline += other.deadline;
    reused += other.reused;
  }
};

// Samples in the queue, and leased.
struct QueueSize {
  int64_t waiting = 0;
  int64_t running = 0;
  int64_t waiting_tokens = 0;  // estimated
  int64_t held = 0;            // in the queue, and not among the waiting
};

// One transaction of the writer.
struct CommitReport {
  int64_t events = 0;
  absl::Duration commit_time;
  absl::Duration lag;  // since the Append of its oldest event
  SampleEnds ended;
  // What is known of the events, in their order; valid for the call.
  std::span<const AppendedEvents> appended;
};

// Called on the writer thread, but for OnRefused; must not block. As it is, it
// does nothing.
class StoreObserver {
 public:
  virtual ~StoreObserver() = default;
  // Once, at opening: servers that had this database before.
  virtual void OnOpened(int64_t /*earlier_servers*/) {}
  virtual void OnCommit(const CommitReport&) {}
  // Append refused events for what they are, a number that is not finite for
  // example; on its thread.
  virtual void OnRefused(const std::vector<Event>&) {}
  // After a change.
  virtual void OnQueue(const QueueSize&) {}
  // A statement of the writer failed. It may be tried again.
  virtual void OnDatabaseFault(DatabaseFault) {}
};

}  // namespace kvrecall
