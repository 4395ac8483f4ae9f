#include "server/service/call_end.h"

#include <string>

#include "spdlog/spdlog.h"

#include "server/service/grpc_status.h"

namespace kvrecall {

grpc::Status EndCall(const LogFields& call, const absl::Status& status,
                     RpcObserver& observer) {
  const LogScope scope(call);
  grpc::Status reply = ToGrpcStatus(status);
  observer.OnCallHandled(call.method, reply.error_code());
  if (spdlog::should_log(spdlog::level::debug))
    spdlog::debug("{}: {}", std::string(call.method), status.ToString());
  return reply;
}

}  // namespace kvrecall
