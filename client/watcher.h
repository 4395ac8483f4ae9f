#pragma once

// Follows a run's event stream to its end, across broken connections. One
// Watch at a time; Detach is thread-safe.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/connection.h"
#include "common/record/record.h"

namespace kvrecall {

struct WatchPolicy {
  // Pause before a new attempt; doubled after each that brought nothing.
  absl::Duration first_pause = absl::Milliseconds(200);
  absl::Duration longest_pause = absl::Seconds(10);
  // How long the server may be away before watching ends with its error.
  absl::Duration patience = absl::Minutes(10);
  // A stream that brings nothing for so long is taken for broken: a laptop
  // that slept may hold a connection that the server has long forgotten. The
  // server's heartbeats come far more often.
  absl::Duration longest_silence = absl::Minutes(2);
};

class Watcher {
 public:
  enum class End { kFinished, kDetached };

  // `connection` outlives this.
  explicit Watcher(const Connection& connection, WatchPolicy policy = {});

  // Calls `on_event` for each event with a sequence above `after`, in order
  // and once, until the run's end was seen (kFinished) or Detach was called
  // (kDetached). `on_message` is told, in one line, of a lost connection and
  // of its return, and how many samples come before the run's first. Fails with
  // on_event's first error, the server's error, or DATA_LOSS where the stream
  // skips a sequence.
  absl::StatusOr<End> Watch(
      const std::string& run_id, int64_t after,
      const std::function<absl::Status(const Event&)>& on_event,
      const std::function<void(std::string_view)>& on_message);

  // Ends a Watch, now or to come.
  void Detach();

 private:
  struct Cursor {
    int64_t sequence = 0;
    bool run_ended = false;
    int64_t samples_ahead = 0;  // as on_message was told
  };
  // One stream, from `cursor` until it ends. OK: the server ended it.
  absl::Status Follow(const std::string& run_id, Cursor& cursor,
                      const std::function<absl::Status(const Event&)>& on_event,
                      const std::function<void()>& on_answer,
                      const std::function<void(std::string_view)>& on_message);
  // Waits, where the connection is down until it stands again at the longest;
  // false if Detach was called.
  bool Pause(absl::Duration duration);
  bool detached() const;

  const Connection& connection_;
  const WatchPolicy policy_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool detached_ = false;
  grpc::ClientContext* context_ = nullptr;  // of the stream in progress
};

}  // namespace kvrecall
