#include "server/store/checkpoints.h"

#include <utility>

#include "common/base/status_macros.h"
#include "server/store/room.h"

namespace kvrecall {
namespace {

constexpr int kTries = 50;  // of commit intervals: a second

}  // namespace

struct Checkpoints::Call {
  CheckpointReply reply;
  bool is_empty = false;
  int tries = kTries;
  absl::AnyInvocable<void(absl::StatusOr<CheckpointReply>)> done;
};

void Checkpoints::Begin(
    absl::AnyInvocable<void(absl::StatusOr<CheckpointReply>)> done) {
  auto call = std::make_shared<Call>();
  call->done = std::move(done);
  writer_->Post(CommandOf(std::move(call)));
}

Command Checkpoints::CommandOf(std::shared_ptr<Call> call) {
  Command command;
  command.execute = [this, call](Changes&) -> absl::Status {
    if (call->tries == kTries) call->reply.bytes_before = LogBytes();
    ASSIGN_OR_RETURN(call->is_empty, database_.TryTruncateLog());
    return absl::OkStatus();
  };
  command.finish = [this, call](absl::Status status) {
    if (!status.ok()) return call->done(std::move(status));
    // Streams and calls read for milliseconds at a time.
    if (!call->is_empty && --call->tries > 0 &&
        writer_->PostLater(CommandOf(call), pause_))
      return;
    call->reply.bytes_after = LogBytes();
    call->done(call->reply);
  };
  command.alone = true;
  return command;
}

int64_t Checkpoints::LogBytes() const { return FileBytes(log_); }

}  // namespace kvrecall
