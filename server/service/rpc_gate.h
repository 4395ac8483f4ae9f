#pragma once

// What every method begins with: who calls, and may they? Thread-safe.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"

#include "server/access/access_control.h"
#include "server/service/rpc_observer.h"

namespace kvrecall {

// The call's id, by which logs find it: that of its header x-request-id where
// it is one (1 to 64 letters, digits, dots, underscores or dashes), else a new
// one. The client is told it in a header of the same name. Once a call, before
// it is answered.
std::string NameRequest(grpc::CallbackServerContext& context);

class RpcGate {
 public:
  // Both outlive it.
  RpcGate(const AccessControl* access, RpcObserver* observer)
      : access_(*access), observer_(*observer) {}

  // As AccessControl::Admit, before the request is looked at. Where no token
  // says who calls, it is whom the client's certificate names, else the name
  // that the client gives itself, by which nothing is decided but turns in the
  // queue.
  absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context,
                               std::string_view method) const;

  RpcObserver& observer() const { return observer_; }

 private:
  const AccessControl& access_;
  RpcObserver& observer_;
};

}  // namespace kvrecall
