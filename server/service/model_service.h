#pragma once

// kvrecall.v1.ModelService: what the server runs. What it says of itself is
// made once, when the server starts.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kvrecall/v1/model_service.grpc.pb.h"
#include "server/service/read_executor.h"
#include "server/service/rpc_gate.h"

namespace kvrecall {

// A text as the model's tokenizer cuts it.
struct TokenizedText {
  std::vector<int64_t> ids;
  std::vector<std::string> tokens;  // of each id alone, UTF-8
};

// Thread-safe.
using TokenizeFunction = std::function<TokenizedText(std::string_view text,
                                                     bool add_special_tokens)>;

class ModelServiceImpl final : public v1::ModelService::CallbackService {
 public:
  // `info` as far as the caller knows it; tasks, policies, triggers, limits and
  // the version of the definitions are filled in here. `executor`, which
  // tokenises, outlives the service.
  ModelServiceImpl(v1::Model model, v1::ServerInfo info,
                   TokenizeFunction tokenize, ReadExecutor* executor,
                   const RpcGate& gate);

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(
      grpc::CallbackServerContext* context,
      const v1::GetServerInfoRequest* request,
      v1::ServerInfo* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;

 private:
  const v1::Model model_;
  v1::ServerInfo info_;
  const TokenizeFunction tokenize_;
  ReadExecutor* const executor_;
  const RpcGate gate_;
};

}  // namespace kvrecall
