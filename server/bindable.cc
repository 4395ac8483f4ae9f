#include "server/bindable.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/address.h"

namespace kvrecall {
namespace {

// 0, or errno.
int TryBind(const addrinfo& to) {
  const int descriptor = socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return errno;
  // As servers do it: connections that have ended do not count.
  const int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  const int error =
      bind(descriptor, to.ai_addr, to.ai_addrlen) == 0 ? 0 : errno;
  close(descriptor);
  return error;
}

}  // namespace

absl::Status CheckBindable(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return absl::OkStatus();
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string host(HostOf(address));
  const std::string port = address.substr(address.rfind(':') + 1);
  if (const int code = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
      code != 0)
    return absl::UnavailableError(
        absl::StrCat(address, ": ", gai_strerror(code)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(
      found, &freeaddrinfo);
  // A name may have several addresses; servers are content with one.
  int error = 0;
  for (const addrinfo* to = found; to != nullptr; to = to->ai_next) {
    error = TryBind(*to);
    if (error == 0) return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(
      "cannot listen on ", address, ": ",
      error == EADDRINUSE ? "the port is in use" : std::strerror(error)));
}

}  // namespace kvrecall
