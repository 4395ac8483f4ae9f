#pragma once

// How every call ends. Thread-safe.

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

#include "server/log.h"
#include "server/service/rpc_observer.h"

namespace kvrecall {

// The call's status as its client is told it (ToGrpcStatus); counted, and
// logged at level debug. `call` has its method, and what else is known of it.
grpc::Status EndCall(const LogFields& call, const absl::Status& status,
                     RpcObserver& observer);

}  // namespace kvrecall
