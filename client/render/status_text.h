#pragma once

// How a server stands, as text for people. Thread-safe: no shared state.

#include <string>

#include "kvrecall/v1/admin_service.pb.h"

namespace kvrecall {

// A line for each of: server, runs, queue, database, log, disk; with the limits
// that there are. Ends with a line feed.
std::string RenderStatus(const v1::ServerStatus& status);

}  // namespace kvrecall
