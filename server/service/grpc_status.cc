#include "server/service/grpc_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

#include "common/base/error_reason.h"
#include "proto/convert/error_convert.h"
#include "server/log.h"

namespace kvrecall {
namespace {

// Where nobody knows better.
constexpr absl::Duration kRetryAfter = absl::Seconds(5);

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

absl::Status ForClients(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kUnavailable && !RetryAfterOf(status))
    return WithRetryAfter(status, kRetryAfter);
  if (IsForClients(status.code())) return status;
  spdlog::error("rpc: {}", status.ToString());
  const std::string id(CurrentLogFields().request);
  const std::string request =
      id.empty() ? "" : absl::StrCat(" (request ", id, ")");
  if (status.code() == absl::StatusCode::kDataLoss)
    return absl::DataLossError(absl::StrCat(
        "the server's database is damaged; its log says where", request));
  return absl::InternalError(absl::StrCat(
      "the server failed on this request; its log says why", request));
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // Both enumerations are google.rpc.Code.
  const absl::Status told = ForClients(status);
  return grpc::Status(static_cast<grpc::StatusCode>(told.raw_code()),
                      std::string(told.message()), ErrorDetails(told));
}

}  // namespace kvrecall
