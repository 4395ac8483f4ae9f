#pragma once

// A run as the store knows it. Plain value.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "common/record/record.h"
#include "common/record/run_config.h"

namespace kvrecall {

struct RunInfo {
  std::string run_id;
  std::string owner;  // who made it; empty: nobody knows
  RunState state = RunState::kQueued;
  RunConfig config;
  Provenance provenance;
  int64_t samples_submitted = 0;
  int64_t samples_done = 0;
  int64_t samples_failed = 0;
  bool complete = false;  // no samples will follow
  int64_t last_sequence = 0;
  absl::Time create_time;
  std::optional<absl::Time> end_time;
  std::optional<absl::Time> deadline;  // none: it has no time limit
  // Why the server that was asked does not run its samples; empty: it does. No
  // part of the record.
  std::string held;
};

// What a client is told that wants something of a run that is held:
// FailedPrecondition, RUN_HELD.
absl::Status RunIsHeld(std::string_view run_id, std::string_view why);

}  // namespace kvrecall
