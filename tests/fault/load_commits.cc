#include "tests/fault/load_commits.h"

#include <chrono>
#include <utility>

#include "common/base/status_macros.h"
#include "common/records_db/schema.h"
#include "tests/fault/load_figures.h"

namespace kvrecall {

absl::StatusOr<std::unique_ptr<CommitClock>> CommitClock::Start(
    const std::string& database, std::string run_id) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> opened, OpenForReading(database));
  return std::unique_ptr<CommitClock>(
      new CommitClock(std::move(opened), std::move(run_id)));
}

CommitClock::CommitClock(std::unique_ptr<Database> database, std::string run_id)
    : database_(std::move(database)),
      run_id_(std::move(run_id)),
      thread_([this] { Run(); }) {}

CommitClock::~CommitClock() { Stop(); }

std::vector<int64_t> CommitClock::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  return seen_;
}

void CommitClock::Run() {
  while (!stop_) {
    const int64_t last = LastSequence();
    const int64_t now = MonotonicNanos();
    while (std::ssize(seen_) < last) seen_.push_back(now);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

int64_t CommitClock::LastSequence() {
  absl::StatusOr<Statement> row =
      database_->Prepare("SELECT last_sequence FROM runs WHERE run_id = ?1");
  if (!row.ok() || !row->Bind(run_id_).ok()) return 0;
  const absl::StatusOr<bool> found = row->Step();
  return found.ok() && *found ? row->Int(0) : 0;
}

}  // namespace kvrecall
