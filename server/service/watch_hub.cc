#include "server/service/watch_hub.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

#include "server/thread_name.h"

namespace kvrecall {

WatchHub::WatchHub(absl::Duration heartbeat, absl::Duration write_timeout)
    : heartbeat_(heartbeat),
      write_timeout_(write_timeout),
      thread_([this] { Run(); }) {}

WatchHub::~WatchHub() {
  Stop();
  thread_.join();
}

uint64_t WatchHub::Add(const std::shared_ptr<WatchStream>& stream) {
  uint64_t key;
  bool stopped;
  {
    std::lock_guard lock(mutex_);
    key = next_key_++;
    streams_.emplace(key, stream);
    stopped = stopped_;
  }
  if (stopped) stream->EndForShutdown();
  return key;
}

void WatchHub::Remove(uint64_t key) {
  std::lock_guard lock(mutex_);
  streams_.erase(key);
  last_removed_ = absl::Now();
  if (stopped_) removed_.notify_all();
}

absl::Time WatchHub::last_removed() const {
  std::lock_guard lock(mutex_);
  return last_removed_;
}

bool WatchHub::is_stopped() const {
  std::lock_guard lock(mutex_);
  return stopped_;
}

bool WatchHub::WaitForStopped(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  return removed_.wait_until(lock, absl::ToChronoTime(deadline), [this] {
    return streams_.empty() || streams_.begin()->first >= stop_key_;
  });
}

int64_t WatchHub::open() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(streams_.size());
}

void WatchHub::Stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    stop_key_ = next_key_;
  }
  stop_.notify_one();
  for (const auto& stream : Alive()) stream->EndForShutdown();
}

std::vector<std::shared_ptr<WatchStream>> WatchHub::Alive() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<WatchStream>> alive;
  for (const auto& [key, weak] : streams_)
    if (auto stream = weak.lock()) alive.push_back(std::move(stream));
  return alive;
}

void WatchHub::Run() {
  NameThread("streams");
  while (true) {
    const absl::Time now = absl::Now();
    // A stream that is added meanwhile is due no earlier than this.
    absl::Time due = now + std::min(heartbeat_, write_timeout_);
    for (const auto& stream : Alive()) due = std::min(due, stream->Beat(now));
    std::unique_lock lock(mutex_);
    if (stopped_) return;
    stop_.wait_for(lock, absl::ToChronoNanoseconds(due - now),
                   [this] { return stopped_; });
    if (stopped_) return;
  }
}

}  // namespace kvrecall
