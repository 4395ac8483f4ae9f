#include "server/service/watch_cursor.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "proto/convert/record_convert.h"
#include "server/service/call_end.h"

namespace kvrecall {
namespace {

// What a reader costs that stalls, and a thousand that begin at once.
constexpr size_t kBytesPerMessage = 64 << 10;
constexpr size_t kEventsPerRead = 256;  // at most

StreamEnd EndOf(const absl::Status& status) {
  if (status.ok()) return StreamEnd::kDone;
  if (absl::IsCancelled(status)) return StreamEnd::kClientGone;
  const std::string reason = ReasonOf(status);
  if (reason == "SLOW_READER") return StreamEnd::kSlow;
  if (reason == "DRAINING") return StreamEnd::kDrain;
  return StreamEnd::kError;
}

}  // namespace

WatchCursor::WatchCursor(const WatchContext& context,
                         std::shared_ptr<WatchSink> sink,
                         std::string request_id, std::string run_id,
                         int64_t after_sequence)
    : context_(context),
      sink_(std::move(sink)),
      request_id_(std::move(request_id)),
      run_id_(std::move(run_id)),
      cursor_(after_sequence),
      last_write_(absl::Now()) {}

void WatchCursor::Start() {
  context_.observer->OnStreamOpened();
  hub_key_ = context_.hub->Add(shared_from_this());
  context_.executor->Post([self = shared_from_this()] { self->Open(); });
}

void WatchCursor::Open() {
  // Subscribed before the first read, so that no commit falls between.
  std::shared_ptr<void> subscription =
      context_.store->Subscribe(run_id_, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->Wake();
      });
  {
    std::lock_guard lock(mutex_);
    subscription_ = std::move(subscription);
  }
  const absl::StatusOr<RunInfo> run = context_.store->GetRun(run_id_);
  if (!run.ok()) return FinishWith(run.status());
  // Found out before this server served, and so it stays until it ends.
  if (!run->held.empty()) held_ = RunIsHeld(run_id_, run->held);
  if (IsTerminal(run->state) && run->last_sequence == cursor_)
    return FinishWith(absl::OkStatus());
  Pump();
}

void WatchCursor::Pump() {
  while (true) {
    absl::Status stop;
    {
      std::lock_guard lock(mutex_);
      woken_ = false;
      stop = StopStatus();
    }
    if (!stop.ok()) return FinishWith(stop);
    v1::WatchRunResponse page;
    if (absl::Status read = ReadPage(&page); !read.ok())
      return FinishWith(read);

    std::unique_lock lock(mutex_);
    if (stop_) continue;
    if (page.events_size() > 0) {
      sending_ = page.events(page.events_size() - 1).sequence();
      BeginWrite();
      lock.unlock();
      context_.observer->OnStreamMessage(page.last_sequence() - sending_);
      return sink_->StartWrite(page);
    }
    if (woken_) continue;
    if (held_.ok()) {
      state_ = State::kIdle;
      return;
    }
    const int64_t last = cursor_;
    lock.unlock();
    // A cancel that is committed just now is seen by who watches again.
    return FinishWith(WithFact(held_, "last_sequence", absl::StrCat(last)));
  }
}

// Fills the empty `page` with the events after the cursor, as many as fit.
absl::Status WatchCursor::ReadPage(v1::WatchRunResponse* page) {
  const size_t limit = std::clamp<size_t>(kBytesPerMessage / bytes_per_event_,
                                          1, kEventsPerRead);
  // Only the holder of the state moves the cursor, so no lock is needed here.
  ASSIGN_OR_RETURN(
      const std::vector<Event> events,
      context_.store->ReadAfter(run_id_, cursor_, static_cast<int>(limit)));
  if (events.empty()) return absl::OkStatus();
  size_t bytes = 0;
  size_t converted = 0;
  for (const Event& event : events) {
    v1::Event message = ToProto(event);
    bytes += message.ByteSizeLong();
    ++converted;
    if (page->events_size() > 0 && bytes > kBytesPerMessage) break;
    end_sent_ = std::holds_alternative<RunEnd>(event.body);
    *page->add_events() = std::move(message);
  }
  bytes_per_event_ = bytes / converted + 1;
  int64_t last = events.back().sequence;
  if (events.size() == limit) {
    ASSIGN_OR_RETURN(const RunInfo run, context_.store->GetRun(run_id_));
    last = run.last_sequence;
  }
  page->set_last_sequence(last);
  return absl::OkStatus();
}

void WatchCursor::OnWriteDone(bool ok) {
  {
    std::lock_guard lock(mutex_);
    if (aborting_) {
      written_ = ok;
      return;
    }
  }
  if (!ok) return FinishWith(WhyWriteFailed());
  absl::Status stop;
  {
    std::lock_guard lock(mutex_);
    last_write_ = absl::Now();
    cursor_ = sending_;
    stop = StopStatus();
    if (!end_sent_ && stop.ok()) state_ = State::kReading;
  }
  if (end_sent_) return FinishWith(absl::OkStatus());
  if (!stop.ok()) return FinishWith(stop);
  PostPump();
}

void WatchCursor::PostPump() {
  context_.executor->Post([self = shared_from_this()] { self->Pump(); });
}

void WatchCursor::Wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
    if (state_ != State::kIdle) return;
    state_ = State::kReading;
  }
  PostPump();
}

void WatchCursor::BeginWrite() {
  state_ = State::kWriting;
  write_began_ = absl::Now();
}

absl::Time WatchCursor::Beat(absl::Time now) {
  const absl::Duration timeout = context_.hub->write_timeout();
  const absl::Time next = now + std::min(context_.hub->heartbeat(), timeout);
  v1::WatchRunResponse heartbeat;
  bool stalled = false, waits = false;
  {
    std::lock_guard lock(mutex_);
    if (state_ == State::kWriting) {
      if (stop_) return next;
      if (now < write_began_ + timeout)
        return std::min(next, write_began_ + timeout);
      stop_ = absl::StatusCode::kResourceExhausted;
      stalled = aborting_ = true;
    } else {
      const absl::Time due = last_write_ + context_.hub->heartbeat();
      if (due > now) return due;
      if (state_ != State::kIdle) return next;
      BeginWrite();
      // Idle means that nothing is committed beyond the cursor.
      sending_ = cursor_;
      waits = cursor_ == 0;
      // The client has nothing to take before it is told.
      if (waits) write_began_ = absl::InfiniteFuture();
      heartbeat.set_last_sequence(cursor_);
    }
  }
  if (stalled) {
    Abort();
  } else if (waits) {
    // Where it stands in the queue is read from the disk, and not here.
    context_.executor->Post(
        [self = shared_from_this()] { self->TellPosition(); });
  } else {
    sink_->StartWrite(heartbeat);
  }
  return next;
}

void WatchCursor::TellPosition() {
  v1::WatchRunResponse heartbeat;
  // A heartbeat without a place is one all the same.
  heartbeat.set_samples_ahead(
      context_.store->SamplesAhead(run_id_).value_or(0));
  {
    std::lock_guard lock(mutex_);
    write_began_ = absl::Now();
  }
  sink_->StartWrite(heartbeat);
}

// The sink may only be touched as long as the stream has not ended, which it
// does not before Finish: whoever would call that meanwhile leaves it to this.
void WatchCursor::Abort() {
  sink_->Abort();
  std::optional<bool> written;
  {
    std::lock_guard lock(mutex_);
    aborting_ = false;
    written = std::exchange(written_, std::nullopt);
  }
  if (written) OnWriteDone(*written);
}

void WatchCursor::EndForShutdown() { Stop(absl::StatusCode::kUnavailable); }

void WatchCursor::OnCancel() { Stop(absl::StatusCode::kCancelled); }

void WatchCursor::Stop(absl::StatusCode why) {
  absl::Status status;
  {
    std::lock_guard lock(mutex_);
    if (stop_ || state_ == State::kFinished) return;
    stop_ = why;
    if (state_ != State::kIdle) return;
    state_ = State::kFinished;
    status = StopStatus();
  }
  FinishWith(status);
}

absl::Status WatchCursor::WhyWriteFailed() {
  std::lock_guard lock(mutex_);
  if (stop_ == absl::StatusCode::kResourceExhausted) return StopStatus();
  return absl::CancelledError("the client has gone");
}

absl::Status WatchCursor::StopStatus() const {
  if (!stop_) return absl::OkStatus();
  if (*stop_ == absl::StatusCode::kCancelled)
    return absl::CancelledError("the client has gone");
  if (*stop_ == absl::StatusCode::kResourceExhausted)
    return WithFact(
        WithReason(absl::ResourceExhaustedError(absl::StrCat(
                       "the client did not take a message for ",
                       absl::FormatDuration(context_.hub->write_timeout()),
                       "; watch again with after_sequence ", cursor_)),
                   "SLOW_READER"),
        "last_sequence", absl::StrCat(cursor_));
  return WithFact(
      WithReason(absl::UnavailableError(absl::StrCat(
                     "the server is shutting down; watch again later with "
                     "after_sequence ",
                     cursor_)),
                 "DRAINING"),
      "last_sequence", absl::StrCat(cursor_));
}

void WatchCursor::FinishWith(const absl::Status& status) {
  {
    std::lock_guard lock(mutex_);
    state_ = State::kFinished;
    end_ = EndOf(status);
  }
  sink_->Finish(
      EndCall({.run = run_id_, .method = "WatchRun", .request = request_id_},
              status, *context_.observer));
}

void WatchCursor::OnDone() {
  std::shared_ptr<void> subscription;
  StreamEnd end;
  {
    std::lock_guard lock(mutex_);
    subscription = std::move(subscription_);
    end = end_;
  }
  // Waits for a Wake in progress, which never blocks.
  subscription.reset();
  context_.hub->Remove(hub_key_);
  context_.observer->OnStreamClosed(end);
}

}  // namespace kvrecall
