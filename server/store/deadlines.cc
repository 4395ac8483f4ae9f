#include "server/store/deadlines.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "spdlog/spdlog.h"

#include "common/base/status_macros.h"
#include "server/log.h"

namespace kvrecall {
namespace {

// Longer than any time limit, and short enough to be added to.
constexpr absl::Duration kLongestLeft = absl::Hours(24 * 1000);
// A wake cannot be taken back: so few of them wait, whatever limits are asked
// for.
constexpr std::chrono::hours kLongestSleep{1};

}  // namespace

absl::Status Deadlines::Recover() {
  const absl::Time now = options_.wall_clock();
  ASSIGN_OR_RETURN(const std::vector<OpenDeadline> open, runs_.OpenDeadlines());
  Changes changes;  // nobody is there yet to be told
  for (const OpenDeadline& deadline : open) {
    if (deadline.time > now) {
      Insert(deadline.run_id, deadline.time - now);
      continue;
    }
    RETURN_IF_ERROR(queue_.Expire(deadline.run_id, now, changes).status());
    const LogScope scope({.run = deadline.run_id});
    spdlog::info("run {}: its time limit passed while no server ran",
                 deadline.run_id);
  }
  return absl::OkStatus();
}

void Deadlines::Start(GroupCommit* writer) {
  writer_ = writer;
  PostWake();
}

void Deadlines::Add(const std::string& run_id, absl::Time deadline) {
  Insert(run_id, deadline - options_.wall_clock());
  PostWake();
}

void Deadlines::Insert(const std::string& run_id, absl::Duration left) {
  if (!known_.insert(run_id).second) return;
  due_.emplace(
      Clock::now() + absl::ToChronoNanoseconds(std::min(left, kLongestLeft)),
      run_id);
}

void Deadlines::PostWake() {
  if (due_.empty()) return;
  const Clock::time_point now = Clock::now();
  const Clock::time_point at =
      std::min<Clock::time_point>(due_.begin()->first, now + kLongestSleep);
  if (at >= wake_) return;
  wake_ = at;
  Command command;
  command.execute = [](Changes&) { return absl::OkStatus(); };
  command.finish = [this](const absl::Status&) { OnWake(); };
  command.patient = true;
  // False: the store closes, and the next server goes on.
  writer_->PostLater(std::move(command), absl::FromChrono(at - now));
}

void Deadlines::OnWake() {
  const Clock::time_point now = Clock::now();
  if (wake_ <= now) wake_ = Clock::time_point::max();
  while (!due_.empty() && due_.begin()->first <= now) {
    std::string run_id = due_.begin()->second;
    due_.erase(due_.begin());
    known_.erase(run_id);
    // Each by itself: they share a transaction, and one that fails is tried
    // again alone.
    writer_->Post(ExpireCommand(std::move(run_id)));
  }
  PostWake();
}

Command Deadlines::ExpireCommand(std::string run_id) {
  auto has_expired = std::make_shared<bool>(false);
  Command command;
  command.execute = [this, run_id,
                     has_expired](Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(*has_expired,
                     queue_.Expire(run_id, options_.wall_clock(), changes));
    return absl::OkStatus();
  };
  command.finish = [this, run_id, has_expired](const absl::Status& status) {
    if (!status.ok()) {
      hooks_.failed(status);
      writer_->PostLater(ExpireCommand(run_id), options_.retry);
      return;
    }
    if (!*has_expired) return;
    const LogScope scope({.run = run_id});
    spdlog::info("run {}: its time limit has passed", run_id);
    hooks_.expired(run_id);
  };
  command.patient = true;
  return command;
}

}  // namespace kvrecall
