#pragma once

// Serves GET /metrics over HTTP/1.1, in Prometheus' text format.
//
// Why not prometheus-cpp's own exposer: its civetweb gives each thread a stack
// of 100 KiB, and glibc refuses to make a thread whose stack is smaller than
// the process's thread-local storage, to which OpenBLAS, glog and libtorch add
// more than that.
//
// One thread, one connection at a time, closed after its answer: scrapes come
// seconds apart. A client that is slower than two seconds is hung up on.

#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "prometheus/collectable.h"
#include <sys/types.h>

#include "server/observability/file_descriptor.h"
#include "server/observability/process_collector.h"

namespace kvrecall {

class MetricsServer {
 public:
  // `address` is host:port or [host]:port; port 0 takes any free one.
  // InvalidArgument: not such an address. Unavailable: the port is in use, or
  // cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& address,
      std::shared_ptr<prometheus::Collectable> metrics);
  // Answers no more.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  int port() const { return port_; }

 private:
  MetricsServer(FileDescriptor listener, FileDescriptor stop, int port,
                std::shared_ptr<prometheus::Collectable> metrics);

  void Run();
  void Serve(int connection);
  // Waits until `events` are possible. False: time is up, or the server stops.
  bool WaitFor(int fd, short events, absl::Time deadline);
  // The request's head; empty where it does not come in time or is too long.
  std::string ReadHead(int connection, absl::Time deadline);
  void Write(int connection, std::string_view text, absl::Time deadline);
  std::string Scrape() const;

  const FileDescriptor listener_;
  const FileDescriptor stop_;  // an eventfd, readable once the server stops
  const int port_;
  const std::shared_ptr<prometheus::Collectable> metrics_;
  const ProcessCollector process_;
  std::thread thread_;
};

}  // namespace kvrecall
