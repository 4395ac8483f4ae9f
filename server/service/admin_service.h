#pragma once

// kvrecall.v1.AdminService: what an operator asks of the server. Methods run on
// gRPC's callback threads and never wait: the status is read on the executor,
// backups are written on one of their own, one at a time, and the writer
// answers for the rest.

#include <atomic>
#include <functional>

#include "kvrecall/v1/admin_service.grpc.pb.h"
#include "server/service/read_executor.h"
#include "server/service/rpc_gate.h"
#include "server/service/watch_hub.h"
#include "server/store/store.h"

namespace kvrecall {

// What the service stands on; outlives it.
struct AdminContext {
  Store* store = nullptr;
  ReadExecutor* executor = nullptr;
  ReadExecutor* backup_executor = nullptr;  // of one thread
  const WatchHub* hub = nullptr;
  // Has the process drain and end, as SIGTERM does; returns at once. Null:
  // Drain is UNIMPLEMENTED.
  std::function<void()> request_drain;
};

class AdminServiceImpl final : public v1::AdminService::CallbackService {
 public:
  AdminServiceImpl(AdminContext context, const RpcGate& gate);

  // From now on the status says that the server drains; all methods go on.
  void BeginDrain() { draining_ = true; }
  // Backups under way and to come end with UNAVAILABLE.
  void StopBackups() { stopping_ = true; }

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest* request,
                                      v1::ServerStatus* response) override;
  grpc::ServerUnaryReactor* DeleteRun(grpc::CallbackServerContext* context,
                                      const v1::DeleteRunRequest* request,
                                      v1::DeleteRunResponse* response) override;
  grpc::ServerUnaryReactor* Backup(grpc::CallbackServerContext* context,
                                   const v1::BackupRequest* request,
                                   v1::BackupResponse* response) override;
  grpc::ServerUnaryReactor* Checkpoint(
      grpc::CallbackServerContext* context,
      const v1::CheckpointRequest* request,
      v1::CheckpointResponse* response) override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override;

 private:
  const AdminContext context_;
  const RpcGate gate_;
  std::atomic<bool> draining_ = false;
  std::atomic<bool> stopping_ = false;
};

}  // namespace kvrecall
