#pragma once

// Takes a run home: from a server into a database file of its own. One thread
// at a time.

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

#include "client/connection.h"

namespace kvrecall {

// Writes the run to `path`, whole or not at all: first beside it, with ".part"
// behind its name, and there only once size and digest are the server's.
// `progress` is told the bytes so far. AlreadyExists: there is `path`, and not
// `overwrite`. NotFound: no such run. DataLoss: what came is not what was sent.
// ResourceExhausted: the disk is full.
absl::Status PullRun(const Connection& connection, const std::string& run_id,
                     const std::string& path, bool overwrite,
                     const std::function<void(int64_t)>& progress);

}  // namespace kvrecall
