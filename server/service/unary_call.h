#pragma once

// One unary call that is to be answered, perhaps from another thread.

#include <string_view>

#include "absl/status/status.h"
#include "grpcpp/support/server_callback.h"

#include "server/service/grpc_status.h"
#include "server/service/rpc_gate.h"

namespace kvrecall {

// Copyable; Finish exactly one of the copies, once. The call's request and
// response stay valid until then.
class UnaryCall {
 public:
  UnaryCall(grpc::CallbackServerContext* context, std::string_view method,
            const RpcGate& gate)
      : reactor_(context->DefaultReactor()),
        method_(method),
        observer_(&gate.observer()),
        caller_(gate.Admit(*context, method)) {}

  grpc::ServerUnaryReactor* reactor() const { return reactor_; }

  // Whether the caller may make this call. The request is looked at only then.
  absl::Status admitted() const { return caller_.status(); }
  const Caller& caller() const { return *caller_; }  // where admitted
  RpcObserver& observer() const { return *observer_; }

  grpc::ServerUnaryReactor* Finish(const absl::Status& status) const {
    const grpc::Status reply = ToGrpcStatus(status);
    observer_->OnCallHandled(method_, reply.error_code());
    reactor_->Finish(reply);
    return reactor_;
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
  std::string_view method_;  // a literal
  RpcObserver* observer_;
  absl::StatusOr<Caller> caller_;
};

}  // namespace kvrecall
