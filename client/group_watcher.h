#pragma once

// Follows several runs at once, each on its server, to the end of all. One
// Watch at a time; Detach is thread-safe.

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/placed_run.h"
#include "client/watcher.h"
#include "common/record/record.h"

namespace kvrecall {

class GroupWatcher {
 public:
  explicit GroupWatcher(std::vector<PlacedRun> runs,
                        const WatchPolicy& policy = {});

  // As Watcher::Watch for each of the runs, from its first event on. `on_event`
  // is told the run's index; the two functions are called by one thread at a
  // time. Where one run cannot be followed any more, the others are to their
  // ends, and then its error is returned. kDetached: one had not ended when
  // Detach was called.
  absl::StatusOr<Watcher::End> Watch(
      const std::function<absl::Status(size_t, const Event&)>& on_event,
      const std::function<void(std::string_view)>& on_message);

  // Ends a Watch, now or to come.
  void Detach();

 private:
  std::vector<PlacedRun> runs_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
};

}  // namespace kvrecall
