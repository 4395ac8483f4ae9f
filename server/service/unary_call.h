#pragma once

// One unary call that is to be answered, perhaps from another thread.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "grpcpp/support/server_callback.h"

#include "server/service/call_end.h"
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
        request_id_(NameRequest(*context)),
        observer_(&gate.observer()),
        caller_(gate.Admit(*context, method)) {}

  grpc::ServerUnaryReactor* reactor() const { return reactor_; }

  // Whether the caller may make this call. The request is looked at only then.
  absl::Status admitted() const { return caller_.status(); }
  const Caller& caller() const { return *caller_; }  // where admitted
  RpcObserver& observer() const { return *observer_; }

  // What is logged for it carries these.
  LogFields log_fields() const {
    return {.method = method_, .request = request_id_};
  }

  grpc::ServerUnaryReactor* Finish(const absl::Status& status) const {
    reactor_->Finish(EndCall(log_fields(), status, *observer_));
    return reactor_;
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
  std::string_view method_;  // a literal
  std::string request_id_;
  RpcObserver* observer_;
  absl::StatusOr<Caller> caller_;
};

}  // namespace kvrecall
