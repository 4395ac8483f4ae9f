#pragma once

// Runs, each on its server. A study that was divided among servers has a run on
// each of them, and is named by their names with commas between. Any thread.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "client/connection.h"
#include "client/server_target.h"
#include "common/record/run_info.h"

namespace kvrecall {

struct PlacedRun {
  std::shared_ptr<const Connection> connection;
  RunInfo info;
};

// A connection to each server that is named. Fails as ReadTarget.
absl::StatusOr<std::vector<std::shared_ptr<const Connection>>> ConnectAll(
    const ServerChoice& servers);

// The runs of that name, "RUN" or "RUN,RUN,…", each looked for on the servers
// in turn. NotFound: none has it. InvalidArgument: it is there twice, or no
// name. Where a server that might have it does not answer, that server's error.
absl::StatusOr<std::vector<PlacedRun>> FindRuns(
    const std::vector<std::shared_ptr<const Connection>>& servers,
    std::string_view name);

// All of them as one: counts added, its name theirs with commas between, its
// end that of the last. One is what it is. InvalidArgument: they were made
// differently.
absl::StatusOr<RunInfo> JoinRuns(const std::vector<PlacedRun>& runs);

}  // namespace kvrecall
