#pragma once

// Hands the samples of a run to the server, in batches. Not thread-safe.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/connection.h"
#include "common/longbench/jsonl.h"

namespace kvrecall {

struct BatchLimits {
  int64_t samples = 64;
  int64_t bytes = 4 << 20;  // of one encoded request; gRPC's default
};

// Requests that hold `samples` in order, none above a limit; the last one says
// that the run is complete (and is there even for no samples). The run's name
// is not filled in; room is left for it. INVALID_ARGUMENT names a sample that
// is too large for any request.
absl::StatusOr<std::vector<v1::SubmitSamplesRequest>> MakeBatches(
    std::span<const Sample> samples, const BatchLimits& limits);

struct SubmitReport {
  int64_t accepted = 0;
  int64_t duplicates = 0;
  std::vector<std::string> refusals;  // "sample X: reason"
};

struct SubmitPolicy {
  int attempts = 7;  // of a batch while the server is away
  // Doubled from one to the next, and no less than the server asks for.
  absl::Duration first_pause = absl::Milliseconds(250);
  // Looked at while the queue is full: CANCELLED as soon as it is true.
  std::function<bool()> stopped = [] { return false; };
};

// Sends the batches. UNAVAILABLE is tried again: the server knows samples that
// it has already. What finds the queue full is sent again, for as long as it
// takes or until it is stopped, when the server says that there may be room.
// `on_message` is told of either in one line.
absl::StatusOr<SubmitReport> SubmitBatches(
    const Connection& connection, const std::string& run_id,
    std::vector<v1::SubmitSamplesRequest> batches,
    const std::function<void(std::string_view)>& on_message,
    const SubmitPolicy& policy = {});

// A fresh random UUID (version 4), for a request id.
std::string NewRequestId();

}  // namespace kvrecall
