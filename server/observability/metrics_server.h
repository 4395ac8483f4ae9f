#pragma once

// Serves GET /metrics over HTTP/1.1, in Prometheus' text format.
//
// Why not prometheus-cpp's own exposer: its civetweb gives each thread a stack
// of 100 KiB, and glibc refuses to make a thread whose stack is smaller than
// the process's thread-local storage, to which OpenBLAS, glog and libtorch add
// more than that.
//
// Two threads, so that one client that says nothing does not hide the figures
// from the next; it is hung up on after a second.

#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prometheus/collectable.h"

#include "server/observability/process_collector.h"

namespace httplib {
class Server;
}  // namespace httplib

namespace kvrecall {

class MetricsServer {
 public:
  // `address` is host:port; port 0 takes any free one. `metrics` outlives this.
  // InvalidArgument: not such an address. Unavailable: the port is in use, or
  // cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& address, const prometheus::Collectable* metrics);
  // InvalidArgument: `address` is not one that Start could take.
  static absl::Status CheckAddress(const std::string& address);
  // Answers no more.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  int port() const { return port_; }

 private:
  explicit MetricsServer(const prometheus::Collectable* metrics);

  std::string Scrape() const;

  const prometheus::Collectable* metrics_;
  const ProcessCollector process_;
  const std::unique_ptr<httplib::Server> http_;
  std::thread listener_;
  int port_ = 0;
};

}  // namespace kvrecall
