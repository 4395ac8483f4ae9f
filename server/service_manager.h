#pragma once

// What systemd is told of the service's state (sd_notify(3)), without its
// library.

#include <string>

namespace kvrecall {

// Sends `state`, such as "READY=1", to the socket that NOTIFY_SOCKET names.
// Nothing happens where there is none, or where nobody reads it: a server must
// not end because its manager does not listen. Any thread.
void NotifyServiceManager(const std::string& state);

}  // namespace kvrecall
