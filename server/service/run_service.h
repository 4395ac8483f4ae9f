#pragma once

// kvrecall.v1.RunService: checks a request, converts it, hands it on. Methods
// run on gRPC's callback threads and never wait: reads of the store go to the
// executor, writes are answered from the store's callback.

#include <atomic>
#include <string_view>

#include "absl/status/status.h"

#include "kvrecall/v1/run_service.grpc.pb.h"
#include "server/service/export_reactor.h"
#include "server/service/read_executor.h"
#include "server/service/rpc_gate.h"
#include "server/service/run_planner.h"
#include "server/service/watch_hub.h"
#include "server/service/watch_reactor.h"
#include "server/store/store.h"

namespace kvrecall {

// SubmitSamples comes as bytes, so that they can be counted before they are
// taken apart; WatchRun goes as bytes, so that nothing else waits for a reader.
using RunServiceBase = v1::RunService::WithRawCallbackMethod_SubmitSamples<
    v1::RunService::WithRawCallbackMethod_WatchRun<
        v1::RunService::CallbackService>>;

class RunServiceImpl final : public RunServiceBase {
 public:
  // All outlive the service. `context_window`: positions that the model can
  // attend.
  RunServiceImpl(const WatchContext& context, const ExportContext& exports,
                 RunPlanner* planner, const RpcGate& gate,
                 int64_t context_window);

  // From now on CreateRun and SubmitSamples are refused with UNAVAILABLE;
  // reads, streams and CancelRun go on.
  void BeginDrain() { draining_ = true; }

  grpc::ServerUnaryReactor* CreateRun(grpc::CallbackServerContext* context,
                                      const v1::CreateRunRequest* request,
                                      v1::Run* response) override;
  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context,
                                   const v1::GetRunRequest* request,
                                   v1::Run* response) override;
  grpc::ServerUnaryReactor* ListRuns(grpc::CallbackServerContext* context,
                                     const v1::ListRunsRequest* request,
                                     v1::ListRunsResponse* response) override;
  grpc::ServerUnaryReactor* CancelRun(grpc::CallbackServerContext* context,
                                      const v1::CancelRunRequest* request,
                                      v1::Run* response) override;
  grpc::ServerUnaryReactor* SubmitSamples(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchRun(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* ListRecords(
      grpc::CallbackServerContext* context,
      const v1::ListRecordsRequest* request,
      v1::ListRecordsResponse* response) override;
  grpc::ServerWriteReactor<v1::ExportRunResponse>* ExportRun(
      grpc::CallbackServerContext* context,
      const v1::ExportRunRequest* request) override;

 private:
  absl::Status CheckNotDraining() const;
  absl::StatusOr<NewRun> PlanRun(const v1::CreateRunRequest& request) const;

  const WatchContext context_;
  const ExportContext exports_;
  RunPlanner* const planner_;
  const RpcGate gate_;
  const int64_t context_window_;
  std::atomic<bool> draining_ = false;
};

}  // namespace kvrecall
