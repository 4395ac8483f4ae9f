#include "server/store/deleter.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "spdlog/spdlog.h"

#include "common/base/status_macros.h"
#include "server/store/calls.h"

namespace kvrecall {
namespace {

// Their rows in `runs` go in one transaction.
constexpr int64_t kRunsPerLook = 100;

}  // namespace

absl::Status Deleter::Recover() {
  ASSIGN_OR_RETURN(const std::vector<int64_t> left, deletion_.Unfinished());
  pending_.assign(left.begin(), left.end());
  pending_count_ = static_cast<int64_t>(pending_.size());
  return absl::OkStatus();
}

void Deleter::Start(GroupCommit* writer) {
  writer_ = writer;
  if (!pending_.empty()) PostPiece(options_.pause);
  if (options_.keep != absl::InfiniteDuration()) PostLook(absl::ZeroDuration());
}

void Deleter::Delete(
    std::string run_id,
    absl::AnyInvocable<void(absl::StatusOr<DeletedRun>)> done) {
  writer_->Post(CommandFor<RunDeletion::Begun>(
      [this, run_id = std::move(run_id)](Changes&) {
        return deletion_.Begin(run_id);
      },
      [this, done = std::move(done)](
          absl::StatusOr<RunDeletion::Begun> begun) mutable {
        if (!begun.ok()) return done(std::move(begun).status());
        Add({begun->key});
        done(begun->run);
      }));
}

void Deleter::Add(const std::vector<int64_t>& keys) {
  const bool is_idle = pending_.empty();
  pending_.insert(pending_.end(), keys.begin(), keys.end());
  pending_count_ = static_cast<int64_t>(pending_.size());
  if (is_idle && !pending_.empty()) PostPiece(absl::ZeroDuration());
}

void Deleter::PostPiece(absl::Duration wait) {
  auto has_more = std::make_shared<bool>(false);
  Command command;
  command.execute = [this, has_more](Changes&) -> absl::Status {
    ASSIGN_OR_RETURN(*has_more, deletion_.DeletePiece(pending_.front()));
    return absl::OkStatus();
  };
  command.finish = [this, has_more](const absl::Status& status) {
    OnPiece(status, *has_more);
  };
  command.patient = true;
  // False: the store closes, and the next server goes on.
  writer_->PostLater(std::move(command), wait);
}

void Deleter::OnPiece(const absl::Status& status, bool has_more) {
  if (!status.ok()) {
    failed_(status);
    PostPiece(options_.retry);
    return;
  }
  if (!has_more) {
    pending_.pop_front();
    pending_count_ = static_cast<int64_t>(pending_.size());
  }
  if (!pending_.empty()) PostPiece(options_.pause);
}

void Deleter::PostLook(absl::Duration wait) {
  auto found = std::make_shared<std::vector<int64_t>>();
  Command command;
  command.execute = [this, found](Changes&) -> absl::Status {
    ASSIGN_OR_RETURN(*found, deletion_.BeginEndedBefore(
                                 absl::Now() - options_.keep, kRunsPerLook));
    return absl::OkStatus();
  };
  command.finish = [this, found](const absl::Status& status) {
    if (!status.ok()) {
      failed_(status);
      return PostLook(options_.retry);
    }
    if (!found->empty())
      spdlog::info("{} runs that ended more than {} days ago are deleted",
                   found->size(), absl::ToInt64Hours(options_.keep) / 24);
    Add(*found);
    const bool has_more = std::ssize(*found) == kRunsPerLook;
    PostLook(has_more ? options_.pause : options_.look);
  };
  command.patient = true;
  writer_->PostLater(std::move(command), wait);
}

}  // namespace kvrecall
