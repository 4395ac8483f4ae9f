#include "server/service/grpc_status.h"

#include <string>

#include "spdlog/spdlog.h"

namespace kvrecall {
namespace {

bool IsForClients(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // Both enumerations are google.rpc.Code.
  const auto code = static_cast<grpc::StatusCode>(status.raw_code());
  if (IsForClients(status.code()))
    return grpc::Status(code, std::string(status.message()));
  spdlog::error("rpc: {}", status.ToString());
  if (status.code() == absl::StatusCode::kDataLoss)
    return grpc::Status(code,
                        "the server's database is damaged; its log says "
                        "where");
  return grpc::Status(grpc::StatusCode::INTERNAL,
                      "the server failed on this request; its log says why");
}

}  // namespace kvrecall
