#pragma once

// kvrecall.v1.ModelService: what the server runs. Answers are made once, when
// the server starts.

#include "kvrecall/v1/model_service.grpc.pb.h"
#include "server/service/rpc_observer.h"

namespace kvrecall {

class ModelServiceImpl final : public v1::ModelService::CallbackService {
 public:
  // `info` as far as the caller knows it; tasks, policies, triggers, limits and
  // the version of the definitions are filled in here. `observer` outlives the
  // service.
  ModelServiceImpl(v1::Model model, v1::ServerInfo info, RpcObserver* observer);

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(
      grpc::CallbackServerContext* context,
      const v1::GetServerInfoRequest* request,
      v1::ServerInfo* response) override;

 private:
  const v1::Model model_;
  v1::ServerInfo info_;
  RpcObserver* const observer_;
};

}  // namespace kvrecall
