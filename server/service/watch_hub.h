#pragma once

// All open streams, of WatchRun and of ExportRun: counts them, looks after them
// in time and ends them when the server stops. Thread-safe; owns one thread,
// and no stream.

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace kvrecall {

// A stream as the hub sees it. Called on the hub's thread; must not block.
class WatchStream {
 public:
  virtual ~WatchStream() = default;
  // Sends a heartbeat where nothing was sent for long enough, and gives the
  // stream up where its client takes nothing. Returns when to ask again.
  virtual absl::Time Beat(absl::Time now) = 0;
  // Ends the stream with UNAVAILABLE as soon as no write is in flight.
  virtual void EndForShutdown() = 0;
};

class WatchHub {
 public:
  // A stream whose client does not take a message for `write_timeout` is given
  // up.
  explicit WatchHub(absl::Duration heartbeat,
                    absl::Duration write_timeout = absl::Minutes(1));
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  absl::Duration heartbeat() const { return heartbeat_; }
  absl::Duration write_timeout() const { return write_timeout_; }

  // Returns the key under which to remove the stream again. Once the hub has
  // stopped, the stream is ended at once (and is still to be removed).
  uint64_t Add(const std::shared_ptr<WatchStream>& stream);
  void Remove(uint64_t key);

  // Streams that are open: added and not removed.
  int64_t open() const;

  // When one was removed last; InfinitePast: none was.
  absl::Time last_removed() const;

  // Ends all streams, those to come too. Idempotent.
  void Stop();
  bool is_stopped() const;

  // After Stop: waits until the streams that were open then have gone; false:
  // it is the deadline.
  bool WaitForStopped(absl::Time deadline);

 private:
  void Run();
  // Streams that still live, by value: they are called without the lock, for
  // they may remove themselves.
  std::vector<std::shared_ptr<WatchStream>> Alive() const;

  const absl::Duration heartbeat_, write_timeout_;
  mutable std::mutex mutex_;
  std::condition_variable stop_;     // it has stopped
  std::condition_variable removed_;  // and then a stream has gone
  std::map<uint64_t, std::weak_ptr<WatchStream>> streams_;
  uint64_t next_key_ = 1;
  uint64_t stop_key_ = 0;  // next_key_ when it was stopped
  absl::Time last_removed_ = absl::InfinitePast();
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace kvrecall
