#pragma once

// The JSON in which `sample_events` keeps what is not a decode step. Numbers
// are written in their shortest exact form, so that they come back bit for
// bit. Pure functions.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/record.h"

namespace kvrecall {

using EventBody = decltype(Event::body);

// "sample_started", "sample_finished", "sample_failed" or "run_finished";
// "step" for a StepRecord, which has no detail.
const char* EventKind(const EventBody& body);

// Finite numbers only. Bytes that are not UTF-8 become U+FFFD. A StepRecord
// gives "{}".
std::string EventDetailToJson(const EventBody& body);

// InvalidArgument: unknown kind, or a missing or mistyped field.
absl::StatusOr<EventBody> EventDetailFromJson(std::string_view kind,
                                              std::string_view detail);

// A list of finite numbers: how `samples` keeps the scores of the gap lanes.
std::string NumbersToJson(const std::vector<double>& numbers);
// InvalidArgument: not such a list.
absl::StatusOr<std::vector<double>> NumbersFromJson(std::string_view text);

// The states by the names of RunStateName. InvalidArgument: no such state.
absl::StatusOr<RunState> ParseRunState(std::string_view name);

// Likewise by FinishReasonName.
absl::StatusOr<FinishReason> ParseFinishReason(std::string_view name);

}  // namespace kvrecall
