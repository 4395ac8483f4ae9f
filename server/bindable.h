#pragma once

// Whether a port could be listened on. Thread-safe.

#include <string>

#include "absl/status/status.h"

namespace kvrecall {

// `address` is host:port, [v6]:port or unix:path, and was checked to be one.
// Binds a socket to it for a moment and never listens, so that nobody can
// connect. Unavailable: the port is in use, the host is not known or not this
// machine's, or the port is not for this user. A unix: address is not tried.
absl::Status CheckBindable(const std::string& address);

}  // namespace kvrecall
