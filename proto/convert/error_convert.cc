#include "proto/convert/error_convert.h"

#include <cstdint>
#include <string>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

#include "common/base/error_reason.h"
#include "proto/convert/time_convert.h"

namespace kvrecall {
namespace {

constexpr char kField[] = "field";

std::string Words(const absl::Status& status) {
  return std::string(status.message());
}

google::rpc::RetryInfo RetryInfoOf(absl::Duration wait) {
  google::rpc::RetryInfo retry;
  *retry.mutable_retry_delay() = ToProto(wait);
  return retry;
}

absl::Status WithInfo(absl::Status status, const google::rpc::ErrorInfo& info) {
  if (info.domain() != kErrorDomain) return status;
  // A newer server's reasons may be unknown here, and are still reasons.
  if (!info.reason().empty() && ReasonOf(status) != info.reason())
    status = WithReason(std::move(status), info.reason());
  for (const auto& [name, value] : info.metadata())
    status = WithFact(std::move(status), name, value);
  return status;
}

}  // namespace

std::string ErrorDetails(const absl::Status& status) {
  google::rpc::Status message;
  message.set_code(status.raw_code());
  message.set_message(Words(status));
  google::rpc::ErrorInfo info;
  info.set_reason(ReasonOf(status));
  info.set_domain(kErrorDomain);
  const auto facts = FactsOf(status);
  info.mutable_metadata()->insert(facts.begin(), facts.end());
  message.add_details()->PackFrom(info);
  if (const auto wait = RetryAfterOf(status))
    message.add_details()->PackFrom(RetryInfoOf(*wait));
  if (const auto field = facts.find(kField); field != facts.end()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(field->second);
    violation->set_description(Words(status));
    message.add_details()->PackFrom(bad);
  }
  return message.SerializeAsString();
}

absl::Status WithErrorDetails(absl::Status status, std::string_view details) {
  google::rpc::Status message;
  if (status.ok() ||
      !message.ParseFromArray(details.data(), static_cast<int>(details.size())))
    return status;
  for (const google::protobuf::Any& any : message.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) status = WithInfo(std::move(status), info);
    if (any.UnpackTo(&retry))
      status =
          WithRetryAfter(std::move(status), FromProto(retry.retry_delay()));
  }
  return status;
}

}  // namespace kvrecall
