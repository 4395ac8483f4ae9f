#pragma once

// The time limits of runs. A deadline is a time on the wall clock, as the
// database has it; how long it is until then is asked once, and from there on
// the steady clock counts: a wall clock that is set ends no run early or late.
//
// Lives on the writer thread, but for what says otherwise.

#include <functional>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "server/store/group_commit.h"
#include "server/store/run_queue.h"
#include "server/store/run_rows.h"

namespace kvrecall {

class Deadlines {
 public:
  struct Options {
    absl::Duration retry;  // after an error of the disk
    std::function<absl::Time()> wall_clock = absl::Now;
  };
  struct Hooks {
    // A run has ended by its time limit, and that is committed.
    std::function<void(const std::string& run_id)> expired;
    // Of an error after which the write is tried again.
    std::function<void(const absl::Status&)> failed;
  };

  Deadlines(RunRows* runs, RunQueue* queue, Options options, Hooks hooks)
      : runs_(*runs),
        queue_(*queue),
        options_(std::move(options)),
        hooks_(std::move(hooks)) {}

  // Once, before the writer begins, in a transaction: ends the runs whose
  // limit passed while no server ran, and finds the others.
  absl::Status Recover();
  // Once, when it has begun.
  void Start(GroupCommit* writer);

  // Of a run that is committed. One that is known keeps what it has.
  void Add(const std::string& run_id, absl::Time deadline);

 private:
  using Clock = GroupCommit::Clock;

  void Insert(const std::string& run_id, absl::Duration left);
  // Sees to it that OnWake is called no later than the first is due.
  void PostWake();
  void OnWake();
  Command ExpireCommand(std::string run_id);

  RunRows& runs_;
  RunQueue& queue_;
  const Options options_;
  const Hooks hooks_;
  GroupCommit* writer_ = nullptr;
  // A run that ends by itself stays until its time: then nothing is done.
  std::set<std::pair<Clock::time_point, std::string>> due_;
  std::unordered_set<std::string> known_;              // the runs in due_
  Clock::time_point wake_ = Clock::time_point::max();  // the next one posted
};

}  // namespace kvrecall
