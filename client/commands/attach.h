#pragma once

// What `submit` and `watch` do once there is a run, or one on each of several
// servers: follow it with progress, then print its result.

#include <vector>

#include "absl/status/statusor.h"

#include "client/commands/command.h"
#include "client/group_watcher.h"
#include "client/placed_run.h"
#include "client/summary.h"
#include "common/record/run_info.h"

namespace kvrecall {

// Follows the runs, which are alike and are `watcher`'s, to their ends and
// prints the result of all; returns the exit code. Where `watcher` is detached
// before, prints how to come back.
absl::StatusOr<int> AttachAndReport(const CommandContext& context,
                                    GroupWatcher& watcher,
                                    std::vector<PlacedRun> runs, bool json);

// Prints the run's state, result table and failed samples, or all of it as
// JSON; returns the exit code.
absl::StatusOr<int> Report(const CommandContext& context, const RunInfo& run,
                           const SummaryBuilder& records, bool json);

}  // namespace kvrecall
