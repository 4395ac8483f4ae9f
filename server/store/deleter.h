#pragma once

// Deletes runs in the background: a piece of a few milliseconds, then whatever
// else the writer has to do, then the next; those that are asked for, those
// that an earlier server did not finish, and those that ended too long ago.
//
// Lives on the writer thread, but for what says otherwise.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/store/group_commit.h"
#include "server/store/run_deletion.h"
#include "server/store/store.h"

namespace kvrecall {

class Deleter {
 public:
  struct Options {
    absl::Duration pause;  // between two pieces
    absl::Duration retry;  // after an error of the disk
    // Runs that ended longer ago are looked for at the start, and then at this
    // interval.
    absl::Duration keep = absl::InfiniteDuration();
    absl::Duration look = absl::Hours(1);
  };

  // `failed` hears of errors, after which the deletion is tried again.
  Deleter(Database* database, const Options& options,
          std::function<void(const absl::Status&)> failed)
      : deletion_(database), options_(options), failed_(std::move(failed)) {}

  // Once, before the writer begins: finds what an earlier server left.
  absl::Status Recover();
  // Once, when it has begun.
  void Start(GroupCommit* writer);

  // As Store::DeleteRun. Any thread, after Start.
  void Delete(std::string run_id,
              absl::AnyInvocable<void(absl::StatusOr<DeletedRun>)> done);

  // Deleted runs of which there are rows. Any thread.
  int64_t pending() const { return pending_count_; }

 private:
  void Add(const std::vector<int64_t>& keys);
  void PostPiece(absl::Duration wait);
  void OnPiece(const absl::Status& status, bool has_more);
  void PostLook(absl::Duration wait);

  RunDeletion deletion_;
  const Options options_;
  const std::function<void(const absl::Status&)> failed_;
  GroupCommit* writer_ = nullptr;
  std::deque<int64_t> pending_;  // a piece of the first is on its way
  std::atomic<int64_t> pending_count_ = 0;
};

}  // namespace kvrecall
