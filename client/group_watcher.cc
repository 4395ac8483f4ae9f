#include "client/group_watcher.h"

#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kvrecall {

GroupWatcher::GroupWatcher(std::vector<PlacedRun> runs,
                           const WatchPolicy& policy)
    : runs_(std::move(runs)) {
  for (const PlacedRun& run : runs_)
    watchers_.push_back(std::make_unique<Watcher>(*run.connection, policy));
}

void GroupWatcher::Detach() {
  for (const auto& watcher : watchers_) watcher->Detach();
}

absl::StatusOr<Watcher::End> GroupWatcher::Watch(
    const std::function<absl::Status(size_t, const Event&)>& on_event,
    const std::function<void(std::string_view)>& on_message) {
  std::mutex mutex;
  std::vector<absl::StatusOr<Watcher::End>> ends(runs_.size(),
                                                 Watcher::End::kDetached);
  const auto follow = [&](size_t i) {
    const std::string server =
        runs_.size() == 1 ? ""
                          : absl::StrCat(runs_[i].connection->address(), ": ");
    const auto tell = [&](std::string_view line) {
      std::lock_guard lock(mutex);
      on_message(absl::StrCat(server, std::string(line)));
    };
    ends[i] = watchers_[i]->Watch(
        runs_[i].info.run_id, /*after=*/0,
        [&](const Event& event) {
          std::lock_guard lock(mutex);
          return on_event(i, event);
        },
        tell);
    if (!ends[i].ok() && runs_.size() > 1)
      tell(std::string(ends[i].status().message()));
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < runs_.size(); ++i) threads.emplace_back(follow, i);
  follow(0);
  for (std::thread& thread : threads) thread.join();
  auto all = Watcher::End::kFinished;
  for (const auto& end : ends) {
    if (!end.ok()) return end.status();
    if (*end == Watcher::End::kDetached) all = Watcher::End::kDetached;
  }
  return all;
}

}  // namespace kvrecall
