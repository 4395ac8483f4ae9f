#include "server/store/group_commit.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "common/base/status_macros.h"
#include "server/thread_name.h"

namespace kvrecall {
namespace {

absl::Status Closed() {
  return absl::UnavailableError("the store is shutting down");
}

}  // namespace

GroupCommit::GroupCommit(Database* database, const Options& options,
                         std::function<void(const Report&)> committed)
    : database_(*database),
      options_(options),
      committed_(std::move(committed)),
      thread_([this] { Loop(); }) {}

GroupCommit::~GroupCommit() { Close(); }

void GroupCommit::Post(Command command) {
  {
    std::lock_guard lock(mutex_);
    if (!closing_) {
      queue_.push_back({std::move(command), 0, Clock::now()});
      ++urgent_;
      work_.notify_one();
      return;
    }
  }
  command.finish(Closed());
}

bool GroupCommit::PostLater(Command command, absl::Duration delay) {
  std::lock_guard lock(mutex_);
  if (closing_) return false;
  delayed_.push_back(
      {std::move(command), 0, Clock::now() + absl::ToChronoNanoseconds(delay)});
  work_.notify_one();
  return true;
}

absl::Status GroupCommit::Append(Command command, int64_t events) {
  std::unique_lock lock(mutex_);
  // A call that is larger than the buffer goes through alone.
  space_.wait(lock, [&] {
    return closing_ || buffered_events_ == 0 ||
           buffered_events_ + events <= options_.buffer_events;
  });
  if (closing_) return Closed();
  const bool was_empty = queue_.empty();
  queue_.push_back({std::move(command), events, Clock::now()});
  queued_events_ += events;
  buffered_events_ += events;
  // Otherwise the writer has a time to wake up already.
  if (was_empty || queued_events_ >= options_.batch_events) work_.notify_one();
  return absl::OkStatus();
}

void GroupCommit::Close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_all();
  space_.notify_all();
  std::lock_guard lock(close_mutex_);
  if (thread_.joinable()) thread_.join();
}

void GroupCommit::Loop() {
  NameThread("writer");
  Batch batch;
  while (NextBatch(batch)) {
    const absl::Status locked = Execute(batch);
    if (!locked.ok()) Requeue(std::move(batch), locked);
    batch.clear();
  }
}

bool GroupCommit::IsDue(Clock::time_point now) {
  if (queue_.empty()) return false;
  return closing_ || urgent_ > 0 || queued_events_ >= options_.batch_events ||
         now >= queue_.front().posted +
                    absl::ToChronoNanoseconds(options_.interval);
}

GroupCommit::Clock::time_point GroupCommit::NextDue() {
  // A day: long enough to be rare, short enough to be added to.
  Clock::time_point due = Clock::now() + std::chrono::hours(24);
  if (!queue_.empty()) {
    due = std::min<Clock::time_point>(
        due,
        queue_.front().posted + absl::ToChronoNanoseconds(options_.interval));
  }
  for (const Item& item : delayed_) due = std::min(due, item.posted);
  return due;
}

void GroupCommit::TakeDelayed(Clock::time_point now) {
  std::erase_if(delayed_, [&](Item& item) {
    if (!closing_ && item.posted > now) return false;
    queue_.push_back(std::move(item));
    ++urgent_;
    return true;
  });
}

bool GroupCommit::NextBatch(Batch& batch) {
  std::unique_lock lock(mutex_);
  while (true) {
    const Clock::time_point now = Clock::now();
    TakeDelayed(now);
    if (IsDue(now)) break;
    if (closing_) return false;
    work_.wait_until(lock, NextDue());
  }
  int64_t events = 0;
  while (!queue_.empty() && (batch.empty() || events < options_.batch_events)) {
    Item& item = queue_.front();
    if (item.command.alone && !batch.empty()) break;
    events += item.events;
    queued_events_ -= item.events;
    if (item.events == 0) --urgent_;
    batch.push_back(std::move(item));
    queue_.pop_front();
    if (batch.back().command.alone) break;
  }
  return true;
}

absl::Status GroupCommit::Execute(Batch& batch) {
  if (batch.front().command.alone) {
    Changes none;
    Finish(batch.front(), batch.front().command.execute(none));
    return absl::OkStatus();
  }
  Report report;
  std::vector<absl::Status> statuses(batch.size());
  bool begun = false;
  const Clock::time_point start = Clock::now();
  absl::Status status =
      InTransaction(database_, TransactionKind::kWrite, [&]() -> absl::Status {
        begun = true;
        for (size_t i = 0; i < batch.size(); ++i) {
          Changes changes;
          statuses[i] = InSavepoint(
              database_, [&] { return batch[i].command.execute(changes); });
          if (statuses[i].ok()) {
            report.changes.Add(changes);
          } else if (!database_.InTransaction() || batch[i].events > 0) {
            return std::move(statuses[i]);
          }
        }
        return absl::OkStatus();
      });
  if (!status.ok()) {
    if (!begun && absl::IsUnavailable(status)) return status;
    // The disk took none of it, or an Append failed and what comes after must
    // know. Each on its own, so that only the guilty ones fail.
    if (batch.size() > 1) return ExecuteEachAlone(batch);
    Finish(batch.front(), std::move(status));
    return absl::OkStatus();
  }
  const Clock::time_point end = Clock::now();
  report.commit_time = end - start;
  for (const Item& item : batch) {
    if (item.events > 0) report.lag = std::max(report.lag, end - item.posted);
  }
  committed_(report);
  for (size_t i = 0; i < batch.size(); ++i) {
    Finish(batch[i], std::move(statuses[i]));
  }
  return absl::OkStatus();
}

absl::Status GroupCommit::ExecuteEachAlone(Batch& batch) {
  for (size_t i = 0; i < batch.size(); ++i) {
    Batch alone;
    alone.push_back(std::move(batch[i]));
    const absl::Status locked = Execute(alone);
    if (!locked.ok()) {
      batch[i] = std::move(alone.front());
      batch.erase(batch.begin(), batch.begin() + static_cast<ptrdiff_t>(i));
      return locked;
    }
  }
  return absl::OkStatus();
}

void GroupCommit::Requeue(Batch batch, const absl::Status& locked) {
  std::vector<Item> impatient;
  {
    std::lock_guard lock(mutex_);
    for (auto item = batch.rbegin(); item != batch.rend(); ++item) {
      if (closing_ || !item->command.patient) {
        impatient.push_back(std::move(*item));
        continue;
      }
      queued_events_ += item->events;
      if (item->events == 0) ++urgent_;
      queue_.push_front(std::move(*item));
    }
  }
  for (auto item = impatient.rbegin(); item != impatient.rend(); ++item) {
    Finish(*item, locked);
  }
}

void GroupCommit::Finish(Item& item, absl::Status status) {
  if (item.events > 0) {
    {
      std::lock_guard lock(mutex_);
      buffered_events_ -= item.events;
    }
    space_.notify_all();
  }
  item.command.finish(std::move(status));
}

}  // namespace kvrecall
