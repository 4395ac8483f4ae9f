#include "server/store/recent_events.h"

#include <algorithm>
#include <map>
#include <set>

namespace kvrecall {

void RecentEvents::Publish(
    const Changes& changes,
    const std::function<bool(const std::string&)>& is_watched) {
  // By run: how often it got events, less how often they are known.
  std::map<std::string, int64_t> unknown;
  for (const std::string& run : changes.runs) ++unknown[run];
  for (const AppendedEvents& batch : changes.appended) --unknown[batch.run];
  // Asked without the lock, of which it knows nothing.
  std::set<std::string> kept;
  for (const auto& [run, count] : unknown)
    if (count == 0 && is_watched(run)) kept.insert(run);
  std::lock_guard lock(mutex_);
  for (const auto& [run, count] : unknown)
    if (!kept.contains(run)) ForgetLocked(run);
  for (const AppendedEvents& batch : changes.appended)
    if (kept.contains(batch.run)) Add(batch);
  // Each batch has an event at least.
  while (count_ > most_ || std::ssize(order_) > most_) DropOldest();
}

void RecentEvents::Add(const AppendedEvents& batch) {
  const auto it = runs_.find(batch.run);
  if (it != runs_.end() && batch.first != it->second.last + 1)
    ForgetLocked(batch.run);
  if (batch.events == nullptr) return ForgetLocked(batch.run);
  Run& run = runs_[batch.run];
  run.batches.push_back(batch);
  const auto events = static_cast<int64_t>(batch.events->size());
  run.last = batch.first + events - 1;
  count_ += events;
  order_.emplace_back(batch.run, batch.first);
}

void RecentEvents::DropOldest() {
  const auto [name, first] = std::move(order_.front());
  order_.pop_front();
  const auto it = runs_.find(name);
  if (it == runs_.end() || it->second.batches.front().first != first) return;
  count_ -= static_cast<int64_t>(it->second.batches.front().events->size());
  it->second.batches.pop_front();
  if (it->second.batches.empty()) runs_.erase(it);
}

void RecentEvents::Forget(const std::string& run_id) {
  std::lock_guard lock(mutex_);
  ForgetLocked(run_id);
}

void RecentEvents::ForgetLocked(const std::string& run_id) {
  const auto it = runs_.find(run_id);
  if (it == runs_.end()) return;
  for (const AppendedEvents& batch : it->second.batches)
    count_ -= static_cast<int64_t>(batch.events->size());
  runs_.erase(it);
}

std::optional<std::vector<Event>> RecentEvents::ReadAfter(
    std::string_view run_id, int64_t after, int limit) const {
  std::vector<AppendedEvents> batches;
  {
    std::lock_guard lock(mutex_);
    const auto it = runs_.find(std::string(run_id));
    if (it == runs_.end()) return std::nullopt;
    const Run& run = it->second;
    if (after + 1 < run.batches.front().first || after > run.last)
      return std::nullopt;
    int64_t count = 0;
    for (const AppendedEvents& batch : run.batches) {
      const auto size = static_cast<int64_t>(batch.events->size());
      if (batch.first + size <= after + 1) continue;
      batches.push_back(batch);
      count += batch.first + size - std::max(batch.first, after + 1);
      if (count >= limit) break;
    }
  }
  std::vector<Event> events;
  for (const AppendedEvents& batch : batches)
    for (size_t i = 0; i < batch.events->size(); ++i) {
      const int64_t sequence = batch.first + static_cast<int64_t>(i);
      if (sequence <= after) continue;
      if (std::ssize(events) == limit) return events;
      events.push_back(
          {sequence, batch.sample, batch.attempt, (*batch.events)[i].body});
    }
  return events;
}

}  // namespace kvrecall
