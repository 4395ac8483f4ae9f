#pragma once

// What became of submitted samples, as metrics count it. Pure.

#include "absl/status/status.h"

#include "kvrecall/v1/run_service.pb.h"
#include "server/service/rpc_observer.h"

namespace kvrecall {

// Of one sample of a call that was answered.
Admission AdmissionOf(v1::SubmitSamplesResponse::Outcome outcome);

// Of all samples of a call that failed with `status`.
Admission AdmissionOf(const absl::Status& status);

}  // namespace kvrecall
