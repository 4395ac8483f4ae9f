#pragma once

// The durable queue and the record log behind one interface. There is no SQL
// outside server/store and common/records_db.
//
// Invariants:
//  1. One thread, the writer, owns the only connection that writes.
//  2. What a call acknowledges is committed; an event gets its sequence at
//     commit, and is visible to ReadAfter only from then on.
//  3. A run's sequences are gap-free from 1; RunEnd is its last event.
//  4. No listener or callback can delay the writer: they must not block.
//
// Thread-safe. Methods that take a callback return at once and never block;
// the callback runs on the writer thread, or, if there is nothing to write (the
// store is closed, a sample cannot be kept), on the caller's before they
// return. The others may wait for the disk: never call them from a gRPC
// callback thread.

#include <atomic>
#include <cstdint>
#include <functional>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/longbench/jsonl.h"
#include "common/record/record.h"
#include "common/record/run_info.h"

namespace kvrecall {

struct NewRun {
  std::string request_id;   // idempotency key, chosen by the client
  std::string body_digest;  // SHA-256 of what was asked, to tell reuse
  RunConfig config;         // completed with defaults
  Provenance provenance;
  std::string owner = "";  // who makes it; empty: nobody knows
  // Finished samples of other runs with the same record key may stand for its
  // own (see record_reuse.h).
  bool may_reuse = false;
  // From its creation on; what has not ended by then fails.
  absl::Duration time_limit = absl::InfiniteDuration();
};

enum class SubmitOutcome { kAccepted, kDuplicate, kQueueFull };

struct SubmitReply {
  std::vector<SubmitOutcome> outcomes;  // in order
  // Where some are kQueueFull: when there may be room.
  absl::Duration retry_after = absl::ZeroDuration();
};

// What a run had that is deleted.
struct DeletedRun {
  int64_t samples = 0;
  int64_t events = 0;
};

// Bytes of the write-ahead log.
struct CheckpointReply {
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;  // above 0: others read it all the while
};

// What the store has, and what it may have.
struct StoreStatus {
  int64_t runs = 0;
  std::optional<absl::Time> oldest_run;  // when it was made
  int64_t runs_being_deleted = 0;        // no longer among `runs`
  int64_t samples_waiting = 0;           // that will be leased
  int64_t samples_held = 0;  // of runs that are held; not among the waiting
  int64_t samples_running = 0;
  int64_t database_bytes = 0;   // of all pages, also those yet in the log only
  int64_t used_bytes = 0;       // of it, what rows take; the rest is reused
  int64_t log_bytes = 0;        // of the write-ahead log beside it
  int64_t free_disk_bytes = 0;  // of its file system; 0 where nobody can tell
  // As SqliteStoreOptions.
  int64_t min_free_bytes = 0;
  int64_t max_used_bytes = 0;
  int64_t max_open_samples = 0;
  absl::Duration keep = absl::InfiniteDuration();
};

// A sample that this process has taken from the queue.
struct LeasedSample {
  std::string run_id;
  Sample sample;
  RunConfig config;
  int64_t attempt = 1;
  absl::Time submit_time;
  // Becomes true when the run is cancelled, or its time limit passes; looked at
  // between prefill chunks and steps.
  std::shared_ptr<const std::atomic<bool>> cancelled;
};

class Store {
 public:
  virtual ~Store() = default;

  // Makes a run. The same request_id with the same body_digest gives the
  // first run again; with another digest, AlreadyExists. Where the run has a
  // time limit and has not ended when it passes, its samples that wait or run
  // fail with DEADLINE_EXCEEDED, as if it were cancelled, and the run ends: as
  // kPartiallyFailed where some are done, else as kFailed.
  virtual void CreateRun(
      NewRun run, absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) = 0;

  // Adds samples to the queue, all in one transaction, one outcome each in
  // order: those that find it full are not added, and `complete` does not count
  // then. `complete` says that no more will follow; the run ends when its
  // last sample has. NotFound: no such run. FailedPrecondition: the run has
  // ended or was complete, and a sample is new; one that it has is a duplicate
  // even then, so that a lost reply can be asked for again. On an error
  // nothing is added.
  virtual void SubmitSamples(
      std::string run_id, std::vector<Sample> samples, bool complete,
      absl::AnyInvocable<void(absl::StatusOr<SubmitReply>)> done) = 0;

  // Ends a run: its queued samples are dropped from the queue, the leased one
  // is told through LeasedSample::cancelled, RunEnd{kCancelled} is appended.
  // A run that has ended is left as it is. NotFound: no such run.
  virtual void CancelRun(
      std::string run_id,
      absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) = 0;

  // Deletes a run that has ended: from the call back on nobody finds it, its
  // rows go bit by bit, also if this process does not live to see it, and what
  // is written next takes their room. NotFound: no such run.
  // FailedPrecondition: it has not ended; cancel it first.
  virtual void DeleteRun(
      std::string run_id,
      absl::AnyInvocable<void(absl::StatusOr<DeletedRun>)> done) = 0;

  // Brings the write-ahead log into the database and empties it, as far as
  // readers allow; waits for them for about a second.
  virtual void Checkpoint(
      absl::AnyInvocable<void(absl::StatusOr<CheckpointReply>)> done) = 0;

  // Writes one committed state of the whole database to `path`, as WriteBackup
  // of common/records_db does; returns its bytes. Takes as long as reading and
  // writing the database twice; the log grows meanwhile, and the store goes on.
  // `stop` is asked often: from the first yes on it fails with Cancelled.
  // Unavailable: the disk would have too little room left.
  virtual absl::StatusOr<int64_t> Backup(const std::string& path,
                                         const std::function<bool()>& stop) = 0;

  virtual absl::StatusOr<StoreStatus> GetStatus() = 0;

  // NotFound: no such run.
  virtual absl::StatusOr<RunInfo> GetRun(std::string_view run_id) = 0;

  // Samples of all runs, but those held, that wait or run, and were submitted
  // before the first of the run's that waits; 0 where none does. NotFound: no
  // such run.
  virtual absl::StatusOr<int64_t> SamplesAhead(std::string_view run_id) = 0;

  // Newest first. `page_token` is empty or what the last call returned as
  // .second, which is empty on the last page. InvalidArgument: bad token.
  virtual absl::StatusOr<std::pair<std::vector<RunInfo>, std::string>> ListRuns(
      int page_size, std::string_view page_token) = 0;

  // Committed events with a sequence above `after`, ascending, at most
  // `limit`. NotFound: no such run. OutOfRange: `after` lies beyond the last.
  virtual absl::StatusOr<std::vector<Event>> ReadAfter(std::string_view run_id,
                                                       int64_t after,
                                                       int limit) = 0;

  // One committed state of the run as a database file of its own (see
  // WriteRunFile of common/records_db), open at its begin. It has no name and
  // is gone when it is closed. Takes seconds for a large run, and as much disk
  // beside the database as the run has there. NotFound: no such run.
  // ResourceExhausted: the disk is full. Cancelled: `stop` said so, which is
  // asked often.
  virtual absl::StatusOr<std::unique_ptr<std::istream>> ExportRun(
      std::string_view run_id, const std::function<bool()>& stop) = 0;

  // Calls `listener` after each commit that gave `run_id` events, until the
  // returned handle is destroyed (which waits for a call in progress). The
  // listener must not block and must not destroy its own handle.
  virtual std::shared_ptr<void> Subscribe(std::string run_id,
                                          std::function<void()> listener) = 0;

  // Looks through the runs that have not ended, before the first Lease. Those
  // for which `why_not` gives a reason are held: this process leases none of
  // their samples and takes no new ones (FailedPrecondition, RUN_HELD); all
  // reads work, and so do cancelling, time limits, and saying that no more
  // samples follow.
  virtual absl::Status HoldRuns(
      const std::function<std::string(const RunInfo&)>& why_not) = 0;

  // Takes the oldest queued sample; waits until there is one, and while the
  // disk fails. Cancelled: the store is shutting down.
  virtual absl::StatusOr<LeasedSample> Lease() = 0;

  // Gives a leased sample back to the queue, not run; its next lease counts
  // as a new attempt only if events of this one were appended.
  virtual void Release(const LeasedSample& sample) = 0;

  // As Release, of a sample with which the server came to its end, which is the
  // caller's next step: it counts as one of the deaths of which three make the
  // sample fail with SERVER_DIED.
  virtual void ReleaseAfterDeath(const LeasedSample& sample) = 0;

  // Hands events of a leased sample (all but RunEnd) to the writer; sequence
  // numbers in them are ignored. A SampleResult or SampleFailure ends the
  // sample, and its run with it where it was the last, in the same
  // transaction. Events of a run that was cancelled meanwhile, or whose time
  // limit has passed, are dropped.
  // Waits only while the writer's buffer is full: the disk can slow the
  // engine, a client never can. After an error, the disk's for example, the
  // attempt takes no more events, so that it has no holes: Release it.
  virtual absl::Status Append(const LeasedSample& sample,
                              std::vector<Event> events) = 0;

  // Wakes Lease with Cancelled; later leases fail at once.
  virtual void StopLeasing() = 0;

  // Commits what was handed over, checkpoints the log and stops the writer.
  // Later writes fail with Unavailable. Idempotent.
  virtual absl::Status Close() = 0;
};

}  // namespace kvrecall
