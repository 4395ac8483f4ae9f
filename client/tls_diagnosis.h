#pragma once

// Why no connection came about, in words for people. gRPC says of each of these
// that it is unavailable.

#include <optional>
#include <string>

#include "absl/time/time.h"

#include "client/server_target.h"

namespace kvrecall {

// Tries the handshake once more, by itself, and says what is wrong with it: a
// server that speaks TLS to one who does not, or the other way round; a
// certificate that has expired, is another host's, or comes from an authority
// that is not known; one of the client's that is missing or refused. Nothing
// where the handshake succeeds or the server cannot be reached. Blocks, for
// `timeout` at most. Thread-safe.
std::optional<std::string> DiagnoseTls(
    const ServerTarget& target, absl::Duration timeout = absl::Seconds(3));

}  // namespace kvrecall
