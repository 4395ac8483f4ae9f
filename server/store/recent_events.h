#pragma once

// The events of the last commits of runs that somebody watches: the many who
// wait for the same ones need not all ask the database for them. Thread-safe.
//
// Invariant: of a run that is known here all events from the first known one to
// the last committed one are known, so that it can be said too that there are
// no more yet.

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/record/record.h"
#include "server/store/appended_events.h"
#include "server/store/event_log.h"

namespace kvrecall {

class RecentEvents {
 public:
  // Holds at most `most` events, those of the last commit apart.
  explicit RecentEvents(int64_t most) : most_(most) {}

  // What was committed; before anybody is told of it. `is_watched` says of
  // which runs it is worth keeping.
  void Publish(const Changes& changes,
               const std::function<bool(const std::string&)>& is_watched);

  // As Store::ReadAfter. Nothing: the database must be asked.
  std::optional<std::vector<Event>> ReadAfter(std::string_view run_id,
                                              int64_t after, int limit) const;

  void Forget(const std::string& run_id);

 private:
  // All of a run, `last_` behind the last of the last.
  struct Run {
    std::deque<AppendedEvents> batches;  // gap-free
    int64_t last = 0;
  };

  void ForgetLocked(const std::string& run_id);
  void Add(const AppendedEvents& batch);
  void DropOldest();

  const int64_t most_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Run> runs_;
  // The batches in the order of their coming, by run and first sequence; some
  // may be forgotten.
  std::deque<std::pair<std::string, int64_t>> order_;
  int64_t count_ = 0;  // events
};

}  // namespace kvrecall
