#include "client/watcher.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "proto/convert/record_convert.h"

namespace kvrecall {
namespace {

// Cancels a call that has been silent for too long. Started and ended with the
// call; Heard is called by the thread that reads.
class SilenceGuard {
 public:
  SilenceGuard(grpc::ClientContext& context, absl::Duration limit)
      : limit_(absl::ToChronoMilliseconds(limit)),
        thread_([this, &context] { Run(context); }) {}
  ~SilenceGuard() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  void Heard() {
    std::lock_guard lock(mutex_);
    heard_ = true;
  }
  bool fired() const {
    std::lock_guard lock(mutex_);
    return fired_;
  }

 private:
  void Run(grpc::ClientContext& context) {
    std::unique_lock lock(mutex_);
    while (!over_) {
      heard_ = false;
      changed_.wait_for(lock, limit_, [this] { return over_; });
      if (over_ || heard_) continue;
      fired_ = true;
      context.TryCancel();
      return;
    }
  }

  const std::chrono::milliseconds limit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool heard_ = false;
  bool over_ = false;
  bool fired_ = false;
  std::thread thread_;  // last: it uses the others
};

// The server could not, or had given up on a laptop that slept: a stream that
// it cancels is not one that this client does.
bool IsWorthAnotherTry(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status) ||
         ReasonOf(status) == "SLOW_READER";
}

}  // namespace

Watcher::Watcher(const Connection& connection, WatchPolicy policy)
    : connection_(connection), policy_(policy) {}

void Watcher::Detach() {
  std::lock_guard lock(mutex_);
  detached_ = true;
  if (context_ != nullptr) context_->TryCancel();
  changed_.notify_all();
}

bool Watcher::detached() const {
  std::lock_guard lock(mutex_);
  return detached_;
}

bool Watcher::Pause(absl::Duration duration) {
  // A server that comes back is found at once; one that answers and cannot go
  // on is left in peace.
  constexpr absl::Duration kLook = absl::Milliseconds(100);
  const absl::Time end = absl::Now() + duration;
  if (!connection_.WaitUntilConnected(absl::ZeroDuration())) {
    while (!detached() && absl::Now() < end)
      if (connection_.WaitUntilConnected(std::min(kLook, end - absl::Now())))
        return !detached();
    return !detached();
  }
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, absl::ToChronoMilliseconds(duration),
                            [this] { return detached_; });
}

absl::Status Watcher::Follow(
    const std::string& run_id, Cursor& cursor,
    const std::function<absl::Status(const Event&)>& on_event,
    const std::function<void()>& on_answer,
    const std::function<void(std::string_view)>& on_message) {
  grpc::ClientContext context;
  {
    std::lock_guard lock(mutex_);
    if (detached_) return absl::CancelledError("detached");
    context_ = &context;
  }
  connection_.Identify(context);
  SilenceGuard guard(context, policy_.longest_silence);
  v1::WatchRunRequest request;
  request.set_run_id(run_id);
  request.set_after_sequence(cursor.sequence);
  auto stream = connection_.runs().WatchRun(&context, request);

  absl::Status failure;
  v1::WatchRunResponse response;
  while (failure.ok() && stream->Read(&response)) {
    guard.Heard();
    on_answer();
    if (const int64_t ahead = response.samples_ahead();
        ahead > 0 && ahead != cursor.samples_ahead) {
      on_message(absl::StrCat("in the queue, behind ", ahead,
                              ahead == 1 ? " sample" : " samples"));
      cursor.samples_ahead = ahead;
    }
    for (const v1::Event& message : response.events()) {
      if (message.sequence() <= cursor.sequence) continue;
      if (message.sequence() != cursor.sequence + 1) {
        failure = absl::DataLossError(
            absl::StrCat("the stream of run ", run_id, " skips from event ",
                         cursor.sequence, " to ", message.sequence()));
        break;
      }
      absl::StatusOr<Event> event = FromProto(message);
      failure = event.ok() ? on_event(*event) : event.status();
      if (!failure.ok()) break;
      cursor.sequence = event->sequence;
      cursor.run_ended = std::holds_alternative<RunEnd>(event->body);
    }
  }
  if (!failure.ok()) context.TryCancel();
  const grpc::Status status = stream->Finish();
  {
    std::lock_guard lock(mutex_);
    context_ = nullptr;
  }
  if (!failure.ok()) return failure;
  if (guard.fired()) return absl::UnavailableError("the server is silent");
  // Without a word of the server's own it comes from gRPC there, whose buffers
  // are full: somebody sends too much.
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
      status.error_details().empty())
    return absl::UnavailableError("the server has too much to do");
  return connection_.ToStatus(status);
}

absl::StatusOr<Watcher::End> Watcher::Watch(
    const std::string& run_id, int64_t after,
    const std::function<absl::Status(const Event&)>& on_event,
    const std::function<void(std::string_view)>& on_message) {
  Cursor cursor{.sequence = after};
  absl::Duration pause = policy_.first_pause;
  absl::Time lost_since = absl::InfiniteFuture();
  bool told = false;
  while (true) {
    absl::Status status = Follow(
        run_id, cursor, on_event,
        [&] {
          if (told) on_message("connected again");
          told = false;
          lost_since = absl::InfiniteFuture();
          pause = policy_.first_pause;
        },
        on_message);
    // The end of the run is what counts, however the stream ended after it.
    if (cursor.run_ended) return End::kFinished;
    if (detached()) return End::kDetached;
    if (status.ok()) {
      status = absl::UnavailableError(
          absl::StrCat("the server ended the stream of run ", run_id,
                       " before the run's end"));
    }
    if (!IsWorthAnotherTry(status)) return status;

    lost_since = std::min(lost_since, absl::Now());
    if (absl::Now() - lost_since >= policy_.patience) return status;
    if (!told) {
      on_message(absl::StrCat("lost the connection to ", connection_.address(),
                              "; trying again, the run goes on there"));
    }
    told = true;
    if (!Pause(pause)) return End::kDetached;
    pause = std::min(pause * 2, policy_.longest_pause);
  }
}

}  // namespace kvrecall
