#pragma once

// Records as messages of kvrecall.v1 and back, without loss. Thread-safe: no
// shared state.
//
// FromProto fails with InvalidArgument that names the field, written below
// `field`, where a oneof is unset or an enumeration has a value that this
// program does not know.

#include <string_view>

#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "kvrecall/v1/records.pb.h"

namespace kvrecall {

v1::RunState ToProto(RunState state);
absl::StatusOr<RunState> FromProto(v1::RunState state, std::string_view field);

v1::FinishReason ToProto(FinishReason reason);
absl::StatusOr<FinishReason> FromProto(v1::FinishReason reason,
                                       std::string_view field);

v1::RecallRecord ToProto(const RecallRecord& record);
RecallRecord FromProto(const v1::RecallRecord& message);

v1::GapRecord ToProto(const GapRecord& record);
GapRecord FromProto(const v1::GapRecord& message);

v1::StepRecord ToProto(const StepRecord& record);
StepRecord FromProto(const v1::StepRecord& message);

v1::Event ToProto(const Event& event);
absl::StatusOr<Event> FromProto(const v1::Event& message,
                                std::string_view field = "event");

}  // namespace kvrecall
