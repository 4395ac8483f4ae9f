#include "proto/convert/time_convert.h"

#include <algorithm>
#include <cstdint>

namespace kvrecall {

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  // The Timestamps there are: years 1 to 9999.
  static const absl::Time least = absl::FromUnixSeconds(-62135596800);
  static const absl::Time most =
      absl::FromUnixSeconds(253402300799) + absl::Nanoseconds(999999999);
  const absl::Duration since =
      std::clamp(time, least, most) - absl::UnixEpoch();
  absl::Duration rest;
  int64_t seconds = absl::IDivDuration(since, absl::Seconds(1), &rest);
  if (rest < absl::ZeroDuration()) {
    rest += absl::Seconds(1);
    --seconds;
  }
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return timestamp;
}

absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) +
         absl::Nanoseconds(timestamp.nanos());
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  absl::Duration rest;
  google::protobuf::Duration message;
  message.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  message.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return message;
}

absl::Duration FromProto(const google::protobuf::Duration& message) {
  return absl::Seconds(message.seconds()) + absl::Nanoseconds(message.nanos());
}

}  // namespace kvrecall
