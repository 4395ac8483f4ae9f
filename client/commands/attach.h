#pragma once

// What `submit` and `watch` do once there is a run: follow it with progress,
// then print its result.

#include "absl/status/statusor.h"

#include "client/commands/command.h"
#include "client/connection.h"
#include "client/summary.h"
#include "client/watcher.h"
#include "common/record/run_info.h"

namespace kvrecall {

// Follows the run to its end and prints the result; returns the exit code.
// Where `watcher` is detached before, prints how to come back.
absl::StatusOr<int> AttachAndReport(const CommandContext& context,
                                    Watcher& watcher, RunInfo run, bool json);

// Prints the run's state, result table and failed samples, or all of it as
// JSON; returns the exit code.
absl::StatusOr<int> Report(const CommandContext& context, const RunInfo& run,
                           const SummaryBuilder& records, bool json);

}  // namespace kvrecall
