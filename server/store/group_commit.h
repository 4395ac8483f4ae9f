#pragma once

// The writer thread: runs commands against the database, many to a
// transaction, and tells each its outcome after the commit.
//
// Invariants:
//  1. The database is touched by the writer thread only, from construction to
//     the end of Close.
//  2. A command's `finish` runs once: after the commit that holds its changes,
//     or with the error for which they are not there.
//  3. Commands run in the order of Post and Append, delayed ones apart. One
//     that fails does not spoil others; an Append that fails has finished
//     before the next command runs.
//  4. No lock is held while commands run and finish.
//
// Post, PostLater, Append and Close are thread-safe.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include "common/records_db/sqlite.h"
#include "server/store/event_log.h"

namespace kvrecall {

// One unit of work. Both functions run on the writer thread and must not
// block.
struct Command {
  // May be called again after its changes were rolled back.
  absl::AnyInvocable<absl::Status(Changes&)> execute;
  // The status is given away: the writer keeps no part of it (but for that of
  // a locked database, which all who do not wait for it share).
  absl::AnyInvocable<void(absl::Status)> finish;
  // Waits for a database that another process has locked, instead of failing.
  bool patient = false;
  // Runs outside any transaction, with no other command beside it; not called
  // again.
  bool alone = false;
};

class GroupCommit {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    absl::Duration interval;    // how long appends wait for company
    int64_t batch_events = 0;   // events that are not kept waiting
    int64_t buffer_events = 0;  // events not committed yet, at most
  };

  struct Report {
    Changes changes;
    Clock::duration commit_time{};  // of the transaction
    Clock::duration lag{};          // since the oldest Append in it, if any
  };

  // `committed` is called on the writer thread after each commit, before the
  // commands finish. `database` must outlive this.
  GroupCommit(Database* database, const Options& options,
              std::function<void(const Report&)> committed);
  ~GroupCommit();  // closes

  // Hands a command over. After Close it finishes at once, on this thread,
  // with Unavailable.
  void Post(Command command);

  // As Post, but not before `delay` has passed, or Close begins. False: closed;
  // the command is dropped unfinished.
  bool PostLater(Command command, absl::Duration delay);

  // Hands over a command that writes `events` events; waits while the buffer
  // is full. Unavailable: closed; the command is dropped unfinished.
  absl::Status Append(Command command, int64_t events);

  // Runs what was handed over and ends the thread. Idempotent. Not to be
  // called on the writer thread.
  void Close();

 private:
  struct Item {
    Command command;
    int64_t events = 0;  // above 0: from Append
    Clock::time_point posted;
  };
  using Batch = std::vector<Item>;

  void Loop();
  bool NextBatch(Batch& batch);       // false: closed, and nothing is left
  bool IsDue(Clock::time_point now);  // the queue's head should be run
  Clock::time_point NextDue();        // when to look again
  void TakeDelayed(Clock::time_point now);
  // Not OK: another process has the database locked; `batch` keeps what was
  // not run.
  absl::Status Execute(Batch& batch);
  absl::Status ExecuteEachAlone(Batch& batch);
  // Puts back what is patient, and finishes the rest with `locked`.
  void Requeue(Batch batch, const absl::Status& locked);
  void Finish(Item& item, absl::Status status);

  Database& database_;
  const Options options_;
  const std::function<void(const Report&)> committed_;

  std::mutex mutex_;
  std::condition_variable work_;   // something to do, or closing
  std::condition_variable space_;  // the buffer has room, or closing
  std::deque<Item> queue_;
  std::vector<Item> delayed_;  // `posted` is when they are due
  int64_t urgent_ = 0;         // items of queue_ that are not appends
  int64_t queued_events_ = 0;
  int64_t buffered_events_ = 0;  // queued_events_ and those being committed
  bool closing_ = false;

  std::mutex close_mutex_;
  std::thread thread_;
};

}  // namespace kvrecall
