#include "server/service/admission.h"

#include <string>

#include "common/base/error_reason.h"

namespace kvrecall {

Admission AdmissionOf(v1::SubmitSamplesResponse::Outcome outcome) {
  switch (outcome) {
    case v1::SubmitSamplesResponse::OUTCOME_ACCEPTED:
      return Admission::kAccepted;
    case v1::SubmitSamplesResponse::OUTCOME_DUPLICATE:
      return Admission::kDuplicate;
    case v1::SubmitSamplesResponse::OUTCOME_QUEUE_FULL:
      return Admission::kQueueFull;
    case v1::SubmitSamplesResponse::OUTCOME_REFUSED:
      return Admission::kRefused;
    default:
      return Admission::kError;
  }
}

Admission AdmissionOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == "DRAINING") return Admission::kDraining;
  if (reason == "DISK_LOW") return Admission::kDiskLow;
  if (reason == "DATABASE_FULL") return Admission::kDatabaseFull;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
      return Admission::kRefused;
    default:
      return Admission::kError;
  }
}

}  // namespace kvrecall
