#include "server/runner/runner.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "spdlog/spdlog.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/longbench/task.h"
#include "server/log.h"
#include "server/runner/sample_run.h"
#include "server/thread_name.h"

namespace kvrecall {
namespace {

// A buffer of one between two threads. Closing it wakes both. std's mutexes
// here and below: ThreadSanitizer does not see through a packaged Abseil's.
class Slot {
 public:
  // Waits for room. False: closed, `sample` was not taken.
  bool Put(PreparedSample& sample) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !sample_.has_value(); });
    if (closed_) return false;
    sample_ = std::move(sample);
    changed_.notify_all();
    return true;
  }

  // Waits for a sample. Nothing: closed.
  std::optional<PreparedSample> Take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || sample_.has_value(); });
    if (closed_) return std::nullopt;
    changed_.notify_all();
    return std::exchange(sample_, std::nullopt);
  }

  // What was waiting comes back to the caller.
  std::optional<PreparedSample> Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
    return std::exchange(sample_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<PreparedSample> sample_;  // guarded by mutex_
  bool closed_ = false;                   // guarded by mutex_
};

// A text that cannot be run is its client's matter, all else the operator's.
void LogFailure(const LeasedSample& lease, const SampleFailure& failure) {
  const bool is_clients =
      failure.reason == "BAD_PROMPT" || failure.reason == "PROMPT_TOO_LONG";
  const LogScope scope({.run = lease.run_id, .sample = lease.sample.id});
  spdlog::log(is_clients ? spdlog::level::info : spdlog::level::warn,
              "run {}, sample '{}': failed, {}: {}", lease.run_id,
              OneLine(lease.sample.id), failure.reason,
              OneLine(failure.message));
}

}  // namespace

class Runner::Threads {
 public:
  Threads(Model& model, const PromptBuilder& prompts, Store& store,
          RunnerObserver& observer,
          std::function<void(const absl::Status&)> on_device_lost)
      : model_(model),
        prompts_(prompts),
        store_(store),
        observer_(observer),
        on_device_lost_(std::move(on_device_lost)),
        prepare_([this] { PrepareLoop(); }),
        engine_([this] { EngineLoop(); }) {}

  void Stop(absl::Duration grace) {
    if (stopped_) return;
    stopped_ = true;
    store_.StopLeasing();
    if (std::optional<PreparedSample> waiting = slot_.Close())
      store_.Release(waiting->lease);
    {
      std::unique_lock lock(mutex_);
      became_idle_.wait_for(lock, absl::ToChronoNanoseconds(grace),
                            [this] { return idle_; });
    }
    abort_ = true;
    prepare_.join();
    engine_.join();
  }

 private:
  void PrepareLoop() {
    NameThread("prepare");
    while (true) {
      absl::StatusOr<LeasedSample> lease = store_.Lease();
      if (!lease.ok()) return;
      absl::StatusOr<PreparedSample> prepared = Prepare(*lease);
      if (!prepared.ok()) {
        Fail(*lease, prepared.status());
      } else if (!slot_.Put(*prepared)) {
        store_.Release(prepared->lease);
      }
    }
  }

  absl::StatusOr<PreparedSample> Prepare(const LeasedSample& lease) const {
    PreparedSample prepared;
    prepared.lease = lease;
    ASSIGN_OR_RETURN(prepared.task, FindTask(lease.config.task));
    ASSIGN_OR_RETURN(
        prepared.prompt,
        prompts_.Build(lease.sample, *prepared.task, lease.config));
    ASSIGN_OR_RETURN(prepared.forced,
                     prompts_.BuildForced(lease.sample, lease.config));
    return prepared;
  }

  void EngineLoop() {
    NameThread("engine");
    while (!device_is_lost_) {
      const std::optional<PreparedSample> sample = slot_.Take();
      if (!sample) break;
      SetIdle(false);
      RunOne(*sample);
      SetIdle(true);
    }
    SetIdle(true);
  }

  void RunOne(const PreparedSample& sample) {
    const LeasedSample& lease = sample.lease;
    const LogScope scope({.run = lease.run_id, .sample = lease.sample.id});
    absl::Time last = lease.submit_time;
    const EventSink sink = [&](decltype(Event::body) body, absl::Time now) {
      Tell(lease, body, now, now - last);
      if (std::holds_alternative<StepRecord>(body)) last = now;
      const absl::Status taken = AppendEvent(lease, std::move(body));
      // No fault of the client's: a record of ours that cannot be kept.
      if (absl::IsInvalidArgument(taken))
        return absl::InternalError(taken.message());
      return taken;
    };
    const PassTimer timer = [this](EnginePhase phase, absl::Duration time) {
      observer_.OnPass(phase, time);
    };
    const absl::Status status =
        RunSample(model_, prompts_.tokenizer(), sample, abort_, sink, timer);
    observer_.OnIdle();
    if (status.ok()) return;
    // Given back, a sample whose run was cancelled is dropped by the store.
    if (absl::IsCancelled(status)) return store_.Release(lease);
    if (absl::IsInternal(status)) {
      const absl::Status device = model_.CheckDevice();
      if (!device.ok()) return LoseDevice(lease, device);
    }
    Fail(lease, status);
  }

  void LoseDevice(const LeasedSample& lease, const absl::Status& why) {
    device_is_lost_ = true;
    // First, or this process would get it again.
    store_.StopLeasing();
    store_.ReleaseAfterDeath(lease);
    if (on_device_lost_) on_device_lost_(why);
  }

  // `since_last`: since the step before, or submission.
  void Tell(const LeasedSample& lease, const decltype(Event::body)& body,
            absl::Time now, absl::Duration since_last) {
    if (const auto* step = std::get_if<StepRecord>(&body))
      observer_.OnStep(*step, since_last);
    if (std::holds_alternative<SampleResult>(body))
      observer_.OnSampleFinished(now - lease.submit_time);
  }

  void Fail(const LeasedSample& lease, const absl::Status& status) {
    const SampleFailure failure = FailureOf(status);
    // Where the disk itself has failed, the sample has not: the store reports
    // it, and the sample goes back to its queue.
    if (!AppendEvent(lease, failure).ok()) return store_.Release(lease);
    LogFailure(lease, failure);
    observer_.OnSampleFailed(failure);
  }

  absl::Status AppendEvent(const LeasedSample& lease,
                           decltype(Event::body) body) {
    Event event;
    event.sample_id = lease.sample.id;
    event.attempt = lease.attempt;
    event.body = std::move(body);
    std::vector<Event> events;
    events.push_back(std::move(event));
    return store_.Append(lease, std::move(events));
  }

  void SetIdle(bool idle) {
    const std::lock_guard lock(mutex_);
    idle_ = idle;
    became_idle_.notify_all();
  }

  Model& model_;
  const PromptBuilder& prompts_;
  Store& store_;
  RunnerObserver& observer_;
  const std::function<void(const absl::Status&)> on_device_lost_;
  bool device_is_lost_ = false;  // the engine thread's
  Slot slot_;
  std::atomic<bool> abort_ = false;
  bool stopped_ = false;  // owner's thread
  std::mutex mutex_;
  std::condition_variable became_idle_;
  bool idle_ = true;  // no sample runs; guarded by mutex_
  std::thread prepare_;
  std::thread engine_;
};

Runner::Runner(std::unique_ptr<Threads> threads)
    : threads_(std::move(threads)) {}

Runner::~Runner() { Stop(absl::ZeroDuration()); }

std::unique_ptr<Runner> Runner::Start(
    Model& model, const PromptBuilder& prompts, Store& store,
    RunnerObserver& observer,
    std::function<void(const absl::Status&)> on_device_lost) {
  return std::unique_ptr<Runner>(new Runner(std::make_unique<Threads>(
      model, prompts, store, observer, std::move(on_device_lost))));
}

void Runner::Stop(absl::Duration grace) { threads_->Stop(grace); }

}  // namespace kvrecall
