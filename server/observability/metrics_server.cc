#include "server/observability/metrics_server.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "prometheus/text_serializer.h"
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(2);
constexpr size_t kMaxHead = 16 << 10;

struct HostAndPort {
  std::string host;
  std::string port;
};

absl::StatusOr<HostAndPort> Split(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 ||
      port > 65535)
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address '", address,
                     "': write host:port, such as 127.0.0.1:9464"));
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return HostAndPort{host, absl::StrCat(port)};
}

absl::Status CannotServe(const std::string& address, std::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot serve metrics on ",
                                             address, ": ", std::string(why)));
}

absl::StatusOr<FileDescriptor> Listen(const std::string& address) {
  ASSIGN_OR_RETURN(const HostAndPort split, Split(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(split.host.c_str(), split.port.c_str(), &hints, &found);
      error != 0)
    return CannotServe(address, gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found,
                                                             freeaddrinfo);
  FileDescriptor listener(
      socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (listener.get() < 0 ||
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
      bind(listener.get(), found->ai_addr, found->ai_addrlen) ||
      listen(listener.get(), 16))
    return CannotServe(address, errno == EADDRINUSE ? "the port is in use"
                                                    : std::strerror(errno));
  return listener;
}

int PortOf(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

std::string Response(std::string_view status, std::string_view type,
                     const std::string& body) {
  return absl::StrCat("HTTP/1.1 ", std::string(status),
                      "\r\nContent-Type: ", std::string(type),
                      "\r\nContent-Length: ", body.size(),
                      "\r\nConnection: close\r\n\r\n", body);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address,
    std::shared_ptr<prometheus::Collectable> metrics) {
  ASSIGN_OR_RETURN(FileDescriptor listener, Listen(address));
  FileDescriptor stop(eventfd(0, EFD_CLOEXEC));
  if (stop.get() < 0) return CannotServe(address, std::strerror(errno));
  const int port = PortOf(listener.get());
  return std::unique_ptr<MetricsServer>(new MetricsServer(
      std::move(listener), std::move(stop), port, std::move(metrics)));
}

MetricsServer::MetricsServer(FileDescriptor listener, FileDescriptor stop,
                             int port,
                             std::shared_ptr<prometheus::Collectable> metrics)
    : listener_(std::move(listener)),
      stop_(std::move(stop)),
      port_(port),
      metrics_(std::move(metrics)),
      thread_([this] { Run(); }) {}

MetricsServer::~MetricsServer() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void MetricsServer::Run() {
  while (WaitFor(listener_.get(), POLLIN, absl::InfiniteFuture())) {
    const FileDescriptor connection(accept4(listener_.get(), nullptr, nullptr,
                                            SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.get() >= 0) {
      Serve(connection.get());
    } else if (errno == EMFILE || errno == ENFILE) {
      // No descriptor to spare: asking again at once would not find one.
      pollfd stop{stop_.get(), POLLIN, 0};
      poll(&stop, 1, 100);
    }
  }
}

bool MetricsServer::WaitFor(int fd, short events, absl::Time deadline) {
  while (true) {
    pollfd fds[] = {{stop_.get(), POLLIN, 0}, {fd, events, 0}};
    int timeout = -1;
    if (deadline != absl::InfiniteFuture())
      timeout = static_cast<int>(absl::ToInt64Milliseconds(
          std::max(absl::ZeroDuration(), deadline - absl::Now())));
    const int ready = poll(fds, 2, timeout);
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0 && fds[0].revents == 0;
  }
}

void MetricsServer::Serve(int connection) {
  const absl::Time deadline = absl::Now() + kPatience;
  const std::string head = ReadHead(connection, deadline);
  if (head.empty()) return;
  // "METHOD /path HTTP/1.1"
  const std::string line = head.substr(0, head.find("\r\n"));
  const std::string method = line.substr(0, line.find(' '));
  std::string path = line.substr(std::min(line.size(), method.size() + 1));
  path = path.substr(0, path.find_first_of(" ?"));
  std::string response;
  if (method != "GET")
    response = Response("405 Method Not Allowed", "text/plain", "GET only\n");
  else if (path != "/metrics")
    response = Response("404 Not Found", "text/plain", "see /metrics\n");
  else
    response = Response("200 OK", "text/plain; version=0.0.4; charset=utf-8",
                        Scrape());
  Write(connection, response, deadline);
}

std::string MetricsServer::ReadHead(int connection, absl::Time deadline) {
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    char buffer[4096];
    if (head.size() > kMaxHead || !WaitFor(connection, POLLIN, deadline))
      return "";
    const ssize_t n = recv(connection, buffer, sizeof buffer, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return "";
    if (n > 0) head.append(buffer, static_cast<size_t>(n));
  }
  return head;
}

void MetricsServer::Write(int connection, std::string_view text,
                          absl::Time deadline) {
  while (!text.empty() && WaitFor(connection, POLLOUT, deadline)) {
    const ssize_t n = send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
}

std::string MetricsServer::Scrape() const {
  std::vector<prometheus::MetricFamily> families = metrics_->Collect();
  for (auto& family : process_.Collect()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace kvrecall
