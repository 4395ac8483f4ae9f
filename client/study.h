#pragma once

// A study's samples divided among the servers that are to compute them, a run
// on each. One thread at a time.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/connection.h"
#include "client/placed_run.h"
#include "client/submitter.h"
#include "common/longbench/jsonl.h"
#include "common/record/run_config.h"

namespace kvrecall {

// What one server is to compute.
struct StudyPart {
  std::shared_ptr<const Connection> server;
  std::vector<Sample> samples;
  std::vector<v1::SubmitSamplesRequest> batches;  // that hold them
  RunInfo run;                                    // once it is made
};

// Divides the samples by their digests among the servers' addresses
// (common/longbench/shard), so that they go where they went before. A server
// that gets none has no part; one server gets all. Each server is asked what it
// takes: fails where one does not answer, or a sample is too large.
absl::StatusOr<std::vector<StudyPart>> DivideStudy(
    const std::vector<std::shared_ptr<const Connection>>& servers,
    std::vector<Sample> samples);

// Makes the run of each part. Where one cannot be made, or the servers would
// not compute alike (InvalidArgument says what differs), those that were made
// are cancelled.
absl::Status CreateRuns(std::vector<StudyPart>& parts,
                        const std::string& request_id, const RunConfig& config,
                        bool reuse_records, absl::Duration time_limit);

// Ends what CreateRuns made.
void CancelRuns(const std::vector<StudyPart>& parts);

// Hands all parts to their servers at once, each as SubmitBatches does, and
// counts what they took into their runs; the sum of it. `on_message` is called
// by one thread at a time.
absl::StatusOr<SubmitReport> SubmitParts(
    std::vector<StudyPart>& parts,
    const std::function<void(std::string_view)>& on_message,
    const SubmitPolicy& policy);

std::vector<PlacedRun> RunsOf(const std::vector<StudyPart>& parts);

}  // namespace kvrecall
