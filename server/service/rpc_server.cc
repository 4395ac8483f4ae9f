#include "server/service/rpc_server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"

#include "common/base/address.h"
#include "common/base/status_macros.h"
#include "grpc/grpc.h"
#include "server/service/validate.h"

namespace kvrecall {
namespace {

// Of all connections together: a thousand watchers need a fifth of it.
constexpr size_t kMaxBufferBytes = 256 << 20;

// How long connections stay after the last stream has ended. gRPC closes one as
// soon as it has written the last byte; a client that has not read so far, and
// says meanwhile how much it can take, finds it broken and loses the rest.
constexpr absl::Duration kLinger = absl::Milliseconds(100);
// How long that waits for streams that are slow to end, as calls are still
// taken meanwhile. Not without need: who is refused then sleeps before it tries
// again, and gRPC waits, for as long as it is given, until idle clients too
// know that the server goes.
constexpr absl::Duration kWaitForStreams = absl::Seconds(1);

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // gRPC takes a message in whole before it looks at its size: without this,
  // one of 4 GB would be held before it is refused. Beyond it, streams are
  // ended until there is room, and watchers watch again.
  grpc::ResourceQuota buffers("kvrecall");
  buffers.Resize(kMaxBufferBytes);
  builder.SetResourceQuota(buffers);
  // One client's streams; what it begins beyond them waits on its side.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000);
  // A second server on the port is an error, not a silent half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A laptop that went away without a word is noticed; one that asks whether
  // the server is still there is not turned away.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
}

}  // namespace

absl::Status CheckListenAddress(const RpcServerOptions& options,
                                bool needs_token) {
  const std::string& address = options.address;
  if (absl::StartsWith(address, "unix:")) return absl::OkStatus();
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 ||
      port > 65535)
    return absl::InvalidArgumentError(
        absl::StrCat("listen address '", address,
                     "': write host:port, such as "
                     "127.0.0.1:50551"));
  const bool is_encrypted = !options.tls.certificate.empty();
  const bool knows_clients =
      needs_token || !options.tls.client_authorities.empty();
  if (IsLoopback(address) || options.allow_plaintext_remote ||
      (is_encrypted && knows_clients))
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "listen address ", address, " can be reached from other machines, and ",
      is_encrypted ? "anyone there could use the server; give --tokens or "
                     "--tls-client-ca, "
                   : "the connection would not be encrypted; give --access "
                     "with what 'kvrecall-server init' makes, ",
      "listen on 127.0.0.1 and use a tunnel, or give "
      "--allow-plaintext-remote"));
}

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const RpcServerOptions& options, RpcBackends backends) {
  RETURN_IF_ERROR(CheckListenAddress(options, backends.access->needs_token()));
  ASSIGN_OR_RETURN(auto credentials, MakeServerCredentials(options.tls));
  std::unique_ptr<RpcServer> server(
      new RpcServer(options, std::move(backends)));
  RETURN_IF_ERROR(server->Listen(options.address, std::move(credentials)));
  return server;
}

RpcServer::RpcServer(const RpcServerOptions& options, RpcBackends backends)
    : executor_(options.read_threads),
      export_executor_(1, "exporter"),
      backup_executor_(1, "backup"),
      hub_(options.heartbeat, options.write_timeout),
      run_service_(
          {backends.store, &executor_, &hub_, backends.observer},
          {backends.store, &export_executor_, backends.observer, &hub_},
          backends.planner, {backends.access, backends.observer},
          backends.model.context_window()),
      model_service_(std::move(backends.model), std::move(backends.info),
                     std::move(backends.tokenize), &executor_,
                     {backends.access, backends.observer}),
      admin_service_({backends.store, &executor_, &backup_executor_, &hub_,
                      std::move(backends.request_drain)},
                     {backends.access, backends.observer}) {}

RpcServer::~RpcServer() { Shutdown(absl::ZeroDuration()); }

absl::Status RpcServer::Listen(
    const std::string& address,
    std::shared_ptr<grpc::ServerCredentials> credentials) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  Configure(builder);
  builder.AddListeningPort(address, std::move(credentials), &port_);
  builder.RegisterService(&run_service_);
  builder.RegisterService(&model_service_);
  builder.RegisterService(&admin_service_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr)
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address,
                     ": the port is in use, or the address is not one of this "
                     "machine's"));
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus("", true);
  health->SetServingStatus(v1::RunService::service_full_name(), true);
  health->SetServingStatus(v1::ModelService::service_full_name(), true);
  health->SetServingStatus(v1::AdminService::service_full_name(), true);
  return absl::OkStatus();
}

void RpcServer::BeginDrain() {
  run_service_.BeginDrain();
  admin_service_.BeginDrain();
  if (server_ != nullptr)
    server_->GetHealthCheckService()->SetServingStatus(false);
}

void RpcServer::Shutdown(absl::Duration grace) {
  if (server_ == nullptr) return;
  BeginDrain();
  const absl::Time deadline = absl::Now() + grace;
  hub_.Stop();
  admin_service_.StopBackups();
  hub_.WaitForStopped(std::min(deadline, absl::Now() + kWaitForStreams));
  absl::SleepFor(std::min(hub_.last_removed() + kLinger, deadline) -
                 absl::Now());
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
  server_.reset();
}

}  // namespace kvrecall
