#include "server/observability/metrics_server.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "prometheus/text_serializer.h"
#include <sys/socket.h>

#include "httplib.h"

namespace kvrecall {
namespace {

constexpr int kThreads = 2;
constexpr int kPatienceSeconds = 1;
constexpr char kContentType[] = "text/plain; version=0.0.4; charset=utf-8";

struct HostAndPort {
  std::string host;
  int port = -1;
};

absl::StatusOr<HostAndPort> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  HostAndPort parsed;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &parsed.port) ||
      parsed.port < 0 || parsed.port > 65535)
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address '", address,
                     "': write host:port, such as 127.0.0.1:9464"));
  parsed.host = address.substr(0, colon);
  return parsed;
}

// The bound port; nothing above 0 where it cannot be bound.
int Bind(httplib::Server& http, const HostAndPort& address) {
  if (address.port == 0) return http.bind_to_any_port(address.host);
  return http.bind_to_port(address.host, address.port) ? address.port : -1;
}

}  // namespace

MetricsServer::MetricsServer(const prometheus::Collectable* metrics)
    : metrics_(metrics), http_(std::make_unique<httplib::Server>()) {
  http_->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  http_->set_read_timeout(kPatienceSeconds);
  http_->set_write_timeout(kPatienceSeconds);
  // Scrapes come seconds apart: a connection each.
  http_->set_keep_alive_max_count(1);
  // The library's default would share a port with another process in silence.
  http_->set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  http_->Get("/metrics",
             [this](const httplib::Request&, httplib::Response& response) {
               response.set_content(Scrape(), kContentType);
             });
}

MetricsServer::~MetricsServer() {
  http_->stop();
  if (listener_.joinable()) listener_.join();
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, const prometheus::Collectable* metrics) {
  const absl::StatusOr<HostAndPort> parsed = ParseAddress(address);
  if (!parsed.ok()) return parsed.status();
  std::unique_ptr<MetricsServer> server(new MetricsServer(metrics));
  httplib::Server& http = *server->http_;
  server->port_ = Bind(http, *parsed);
  if (server->port_ <= 0)
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics on ", address,
                     ": the port is in use, or the address is not one of this "
                     "machine's"));
  server->listener_ = std::thread([&http] { http.listen_after_bind(); });
  // A stop() before the listener runs would be lost.
  while (!http.is_running()) std::this_thread::yield();
  return server;
}

absl::Status MetricsServer::CheckAddress(const std::string& address) {
  return ParseAddress(address).status();
}

std::string MetricsServer::Scrape() const {
  std::vector<prometheus::MetricFamily> families = metrics_->Collect();
  for (prometheus::MetricFamily& family : process_.Collect())
    families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace kvrecall
