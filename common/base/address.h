#pragma once

// Addresses as users write them: "host:port", "[v6]:port", "unix:path". Pure;
// thread-safe.

#include <string_view>

namespace kvrecall {

// "host" of "host:port" or "[host]:port"; of a text without a port, all of it.
std::string_view HostOf(std::string_view address);

// True for 127.0.0.0/8, [::1], localhost and unix: addresses: what is sent
// there does not leave the machine.
bool IsLoopback(std::string_view address);

}  // namespace kvrecall
