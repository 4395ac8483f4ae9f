#pragma once

// The one place where an absl::Status becomes what a client sees. Thread-safe.

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace kvrecall {

// The codes are the same. The message is passed on where it speaks of the
// request or of the server's state; of internal and unknown errors the client
// is told only that the log has them, and under which request id if the log's
// scope has one; the log gets them here. The details
// are google.rpc.Status with the status's reason and facts, or its code's own;
// what is unavailable says when to try again.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace kvrecall
