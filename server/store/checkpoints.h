#pragma once

// Emptying the write-ahead log because somebody asks for it. Thread-safe.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/records_db/sqlite.h"
#include "server/store/group_commit.h"
#include "server/store/store.h"

namespace kvrecall {

class Checkpoints {
 public:
  // Where readers keep it from being emptied, it is tried again after `pause`,
  // a few dozen times. What is pointed to outlives it.
  Checkpoints(Database* database, absl::Duration pause)
      : database_(*database), log_(database->path() + "-wal"), pause_(pause) {}

  // Once, when the writer has begun.
  void Start(GroupCommit* writer) { writer_ = writer; }

  // As Store::Checkpoint.
  void Begin(absl::AnyInvocable<void(absl::StatusOr<CheckpointReply>)> done);

  // Of the log; also when the database is closed.
  int64_t LogBytes() const;

 private:
  struct Call;
  Command CommandOf(std::shared_ptr<Call> call);

  Database& database_;  // the writer thread's
  const std::string log_;
  const absl::Duration pause_;
  GroupCommit* writer_ = nullptr;
};

}  // namespace kvrecall
