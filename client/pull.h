#pragma once

// Takes a run home: from a server into a database file of its own. One thread
// at a time.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/connection.h"
#include "client/placed_run.h"

namespace kvrecall {

// Writes the run to `path`, whole or not at all: first beside it, with ".part"
// behind its name, and there only once size and digest are the server's.
// `progress` is told the bytes so far. AlreadyExists: there is `path`, and not
// `overwrite`. NotFound: no such run. DataLoss: what came is not what was sent.
// ResourceExhausted: the disk is full.
absl::Status PullRun(const Connection& connection, const std::string& run_id,
                     const std::string& path, bool overwrite,
                     const std::function<void(int64_t)>& progress);

// The same of a study that was divided among servers: its runs are pulled to
// files beside `path`, which are gone afterwards, and merged
// (common/records_db/ merge_file). Of one run what PullRun does. Returns the
// name that it has in the file. `on_message` is told what is done.
absl::StatusOr<std::string> PullStudy(
    const std::vector<PlacedRun>& runs, const std::string& path, bool overwrite,
    const std::function<void(int64_t)>& progress,
    const std::function<void(std::string_view)>& on_message);

}  // namespace kvrecall
