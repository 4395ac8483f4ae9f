#pragma once

// Times as google.protobuf's and back. Thread-safe: no shared state.

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace kvrecall {

// To the nanosecond; absl::Time is finer by two bits that no clock fills.
google::protobuf::Timestamp ToTimestamp(absl::Time time);
absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp);

// Of finite durations, to the nanosecond.
google::protobuf::Duration ToProto(absl::Duration duration);
absl::Duration FromProto(const google::protobuf::Duration& message);

}  // namespace kvrecall
