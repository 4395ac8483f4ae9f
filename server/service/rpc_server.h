#pragma once

// The gRPC listener with everything behind it: RunService, ModelService,
// AdminService, the standard health service and reflection, which are open to
// everyone: they say nothing of what is in the database.
//
// Start, BeginDrain and Shutdown are called by one thread, main's.

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/server.h"

#include "kvrecall/v1/model_service.pb.h"
#include "server/access/access_control.h"
#include "server/service/admin_service.h"
#include "server/service/model_service.h"
#include "server/service/read_executor.h"
#include "server/service/rpc_observer.h"
#include "server/service/run_planner.h"
#include "server/service/run_service.h"
#include "server/service/server_credentials.h"
#include "server/service/watch_hub.h"
#include "server/store/store.h"

namespace kvrecall {

struct RpcServerOptions {
  std::string address = "127.0.0.1:50551";  // port 0: any free one
  TlsFiles tls;
  // Without it, an address that is not loopback is refused unless the
  // connection is encrypted and its client is known, by token or certificate.
  bool allow_plaintext_remote = false;
  absl::Duration heartbeat = absl::Seconds(15);  // of an idle stream
  // After which a stream that its client does not read is given up.
  absl::Duration write_timeout = absl::Minutes(1);
  int read_threads = 2;
};

// Whether the address is one, and may be listened on. InvalidArgument: it is
// not, or other machines reach it without leave. `needs_token`: whether callers
// are asked for one.
absl::Status CheckListenAddress(const RpcServerOptions& options,
                                bool needs_token);

// What the services stand on; all of it outlives the server.
struct RpcBackends {
  Store* store = nullptr;
  RunPlanner* planner = nullptr;
  RpcObserver* observer = nullptr;
  const AccessControl* access = nullptr;  // who may call what
  TokenizeFunction tokenize;
  v1::Model model;
  v1::ServerInfo info;  // as ModelServiceImpl takes it
  // As AdminServiceImpl takes it.
  std::function<void()> request_drain = nullptr;
};

class RpcServer {
 public:
  // InvalidArgument: what CheckListenAddress or MakeServerCredentials says.
  // Unavailable: the port is in use, or cannot be bound.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const RpcServerOptions& options, RpcBackends backends);
  // Shuts down at once if that was not done.
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // The port that it listens on.
  int port() const { return port_; }
  // Streams that are open.
  int64_t open_streams() const { return hub_.open(); }

  // Health says NOT_SERVING and new work is refused; everything else goes on.
  void BeginDrain();

  // Ends all streams with UNAVAILABLE, lets their clients read what was sent
  // last, lets the calls under way end within `grace` and cancels the rest.
  // Calls are taken until streams have ended, a second at most. Afterwards
  // nothing calls the backends any more. Idempotent.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer(const RpcServerOptions& options, RpcBackends backends);
  absl::Status Listen(const std::string& address,
                      std::shared_ptr<grpc::ServerCredentials> credentials);

  ReadExecutor executor_, export_executor_, backup_executor_;
  WatchHub hub_;
  RunServiceImpl run_service_;
  ModelServiceImpl model_service_;
  AdminServiceImpl admin_service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace kvrecall
