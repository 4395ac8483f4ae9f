#pragma once

// A store in memory with the real one's contract as far as the services see
// it, and a few handles for tests: committing events, failing reads, and
// waiting until somebody has subscribed. Thread-safe. Callbacks run on the
// calling thread, outside the lock.

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "server/store/store.h"

namespace kvrecall {

class FakeStore final : public Store {
 public:
  // Commits events: numbers them and wakes the run's listeners.
  void Commit(const std::string& run_id, std::vector<Event> events) {
    std::vector<std::shared_ptr<Listener>> listeners;
    {
      std::lock_guard lock(mutex_);
      Run& run = runs_.at(run_id);
      for (Event& event : events) {
        event.sequence = ++run.info.last_sequence;
        if (const auto* end = std::get_if<RunEnd>(&event.body)) {
          run.info.state = end->state;
          run.info.end_time = absl::Now();
        }
        run.events.push_back(std::move(event));
      }
      for (const auto& [id, listener] : listeners_)
        if (id == run_id) listeners.push_back(listener);
    }
    for (const auto& listener : listeners) {
      std::lock_guard lock(listener->mutex);
      if (listener->call) listener->call();
    }
  }

  // All reads fail with it from now on; OK mends them.
  void FailReads(absl::Status status) {
    std::lock_guard lock(mutex_);
    read_error_ = std::move(status);
  }

  // Waits until exactly `count` listeners are subscribed.
  void WaitForListeners(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return listeners_.size() == count; });
  }

  // Waits until the end of a run's events was read `count` times, that is,
  // until that many readers found nothing more.
  void WaitForEmptyReads(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return empty_reads_ >= count; });
  }

  std::vector<Sample> samples(const std::string& run_id) {
    std::lock_guard lock(mutex_);
    return runs_.at(run_id).samples;
  }

  NewRun last_new_run() {
    std::lock_guard lock(mutex_);
    return last_new_run_;
  }

  void CreateRun(
      NewRun run,
      absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) override {
    done(DoCreateRun(std::move(run)));
  }

  void SubmitSamples(
      std::string run_id, std::vector<Sample> samples, bool complete,
      absl::AnyInvocable<void(absl::StatusOr<SubmitReply>)> done) override {
    done(DoSubmit(run_id, std::move(samples), complete));
  }

  void CancelRun(
      std::string run_id,
      absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) override {
    const absl::StatusOr<RunInfo> run = GetRun(run_id);
    if (run.ok() && !IsTerminal(run->state))
      Commit(run_id, {Event{0, "", 1, RunEnd{RunState::kCancelled, 0, 0}}});
    done(GetRun(run_id));
  }

  absl::StatusOr<int64_t> SamplesAhead(std::string_view) override { return 7; }
  void DeleteRun(
      std::string run_id,
      absl::AnyInvocable<void(absl::StatusOr<DeletedRun>)> done) override {
    done(DoDelete(run_id));
  }

  void Checkpoint(
      absl::AnyInvocable<void(absl::StatusOr<CheckpointReply>)> done) override {
    done(CheckpointReply{4096, 0});
  }

  // What SetBackup says; before that it goes on until it is stopped.
  absl::StatusOr<int64_t> Backup(const std::string& path,
                                 const std::function<bool()>& stop) override {
    std::unique_lock lock(mutex_);
    backups_.push_back(path);
    changed_.notify_all();
    if (backup_.has_value()) return *backup_;
    lock.unlock();
    while (!stop()) std::this_thread::yield();
    return absl::CancelledError("stopped");
  }

  absl::StatusOr<StoreStatus> GetStatus() override {
    std::lock_guard lock(mutex_);
    if (!read_error_.ok()) return read_error_;
    return status_;
  }

  absl::StatusOr<RunInfo> GetRun(std::string_view run_id) override {
    std::lock_guard lock(mutex_);
    if (!read_error_.ok()) return read_error_;
    const auto it = runs_.find(std::string(run_id));
    if (it == runs_.end()) return NoSuchRun(run_id);
    return it->second.info;
  }

  absl::StatusOr<std::pair<std::vector<RunInfo>, std::string>> ListRuns(
      int page_size, std::string_view page_token) override {
    std::lock_guard lock(mutex_);
    if (!read_error_.ok()) return read_error_;
    // The token is the id of the last run of the page before.
    auto it = order_.rbegin();
    if (!page_token.empty()) {
      it = std::find(order_.rbegin(), order_.rend(), page_token);
      if (it == order_.rend())
        return absl::InvalidArgumentError("page_token: unknown");
      ++it;
    }
    std::pair<std::vector<RunInfo>, std::string> page;
    for (; it != order_.rend(); ++it) {
      if (static_cast<int>(page.first.size()) == page_size) {
        page.second = page.first.back().run_id;
        break;
      }
      page.first.push_back(runs_.at(*it).info);
    }
    return page;
  }

  absl::StatusOr<std::vector<Event>> ReadAfter(std::string_view run_id,
                                               int64_t after,
                                               int limit) override {
    std::lock_guard lock(mutex_);
    if (!read_error_.ok()) return read_error_;
    const auto it = runs_.find(std::string(run_id));
    if (it == runs_.end()) return NoSuchRun(run_id);
    const std::vector<Event>& events = it->second.events;
    if (after > static_cast<int64_t>(events.size()))
      return absl::OutOfRangeError(absl::StrCat(
          "after_sequence ", after, " lies beyond the last, ", events.size()));
    if (after == static_cast<int64_t>(events.size())) {
      ++empty_reads_;
      changed_.notify_all();
    }
    const int64_t end =
        std::min<int64_t>(after + limit, static_cast<int64_t>(events.size()));
    return std::vector<Event>(events.begin() + after, events.begin() + end);
  }

  // Any bytes will do: the service does not look into the file.
  absl::StatusOr<std::unique_ptr<std::istream>> ExportRun(
      std::string_view run_id, const std::function<bool()>& stop) override {
    RETURN_IF_ERROR(GetRun(run_id).status());
    std::unique_lock lock(mutex_);
    while (exports_hang_) {
      lock.unlock();
      if (stop()) return absl::CancelledError("stopped");
      std::this_thread::yield();
      lock.lock();
    }
    return std::make_unique<std::istringstream>(exported_);
  }

  // Exports end only by being stopped.
  void LetExportsHang() {
    std::lock_guard lock(mutex_);
    exports_hang_ = true;
  }

  // More samples of a run find the queue full.
  void SetMaxSamples(int64_t most) {
    std::lock_guard lock(mutex_);
    max_samples_ = most;
  }

  // What GetStatus and Backup give.
  void SetStatus(StoreStatus status) {
    std::lock_guard lock(mutex_);
    status_ = status;
  }
  void SetBackup(absl::StatusOr<int64_t> backup) {
    std::lock_guard lock(mutex_);
    backup_ = std::move(backup);
  }

  // Waits until so many backups were begun, and returns their paths.
  std::vector<std::string> WaitForBackups(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return backups_.size() >= count; });
    return backups_;
  }

  // What ExportRun gives.
  void SetExported(std::string bytes) {
    std::lock_guard lock(mutex_);
    exported_ = std::move(bytes);
  }

  std::shared_ptr<void> Subscribe(std::string run_id,
                                  std::function<void()> call) override {
    auto listener = std::make_shared<Listener>();
    listener->call = std::move(call);
    std::lock_guard lock(mutex_);
    const auto it = listeners_.emplace(std::move(run_id), listener);
    changed_.notify_all();
    return std::shared_ptr<void>(listener.get(),
                                 [this, it, listener](void*) mutable {
                                   {
                                     std::lock_guard lock(listener->mutex);
                                     listener->call = nullptr;
                                   }
                                   std::lock_guard lock(mutex_);
                                   listeners_.erase(it);
                                   changed_.notify_all();
                                 });
  }

  // The run is held for this reason from now on.
  void Hold(const std::string& run_id, std::string why) {
    const std::lock_guard lock(mutex_);
    runs_.at(run_id).info.held = std::move(why);
  }

  // The engine's side is no part of what the services do.
  absl::Status HoldRuns(
      const std::function<std::string(const RunInfo&)>&) override {
    return absl::OkStatus();
  }
  absl::StatusOr<LeasedSample> Lease() override {
    return absl::CancelledError("no engine");
  }
  void Release(const LeasedSample&) override {}
  void ReleaseAfterDeath(const LeasedSample&) override {}
  absl::Status Append(const LeasedSample&, std::vector<Event>) override {
    return absl::CancelledError("no engine");
  }
  void StopLeasing() override {}
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  struct Run {
    RunInfo info;
    std::string body_digest;
    std::vector<Sample> samples;
    std::vector<Event> events;
  };
  struct Listener {
    std::mutex mutex;
    std::function<void()> call;
  };

  static absl::Status NoSuchRun(std::string_view run_id) {
    return absl::NotFoundError(
        absl::StrCat("no run '", std::string(run_id), "'"));
  }

  absl::StatusOr<RunInfo> DoCreateRun(NewRun run) {
    std::lock_guard lock(mutex_);
    last_new_run_ = run;
    const std::string id = absl::StrCat("run-", run.request_id);
    if (const auto it = runs_.find(id); it != runs_.end()) {
      if (it->second.body_digest == run.body_digest) return it->second.info;
      return absl::AlreadyExistsError("request_id was used with another body");
    }
    Run& made = runs_[id];
    made.info.run_id = id;
    made.info.config = run.config;
    made.info.provenance = run.provenance;
    made.info.create_time = absl::Now();
    if (run.time_limit != absl::InfiniteDuration())
      made.info.deadline = made.info.create_time + run.time_limit;
    made.body_digest = run.body_digest;
    order_.push_back(id);
    return made.info;
  }

  absl::StatusOr<DeletedRun> DoDelete(const std::string& run_id) {
    std::lock_guard lock(mutex_);
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) return NoSuchRun(run_id);
    const RunInfo& info = it->second.info;
    if (!IsTerminal(info.state))
      return WithReason(absl::FailedPreconditionError("it has not ended"),
                        "RUN_ACTIVE");
    const DeletedRun deleted{info.samples_submitted, info.last_sequence};
    runs_.erase(it);
    std::erase(order_, run_id);
    return deleted;
  }

  absl::StatusOr<SubmitReply> DoSubmit(const std::string& run_id,
                                       std::vector<Sample> samples,
                                       bool complete) {
    std::lock_guard lock(mutex_);
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) return NoSuchRun(run_id);
    Run& run = it->second;
    if (IsTerminal(run.info.state))
      return absl::FailedPreconditionError("the run has ended");
    SubmitReply reply;
    for (Sample& sample : samples) {
      const bool known =
          std::any_of(run.samples.begin(), run.samples.end(),
                      [&](const Sample& s) { return s.id == sample.id; });
      const bool full = !known && std::ssize(run.samples) >= max_samples_;
      reply.outcomes.push_back(known  ? SubmitOutcome::kDuplicate
                               : full ? SubmitOutcome::kQueueFull
                                      : SubmitOutcome::kAccepted);
      if (full) complete = false;
      if (!known && !full) run.samples.push_back(std::move(sample));
    }
    reply.retry_after = absl::Milliseconds(1500);
    run.info.samples_submitted = static_cast<int64_t>(run.samples.size());
    run.info.complete |= complete;
    return reply;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Run> runs_;
  std::vector<std::string> order_;  // by age
  std::multimap<std::string, std::shared_ptr<Listener>> listeners_;
  absl::Status read_error_;
  int empty_reads_ = 0;
  NewRun last_new_run_;
  std::string exported_;
  bool exports_hang_ = false;
  int64_t max_samples_ = INT64_MAX;
  StoreStatus status_;
  std::optional<absl::StatusOr<int64_t>> backup_;
  std::vector<std::string> backups_;
};

}  // namespace kvrecall
