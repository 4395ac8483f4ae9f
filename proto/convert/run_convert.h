#pragma once

// Run configuration, provenance and runs as messages of kvrecall.v1 and back,
// without loss. Thread-safe: no shared state.
//
// FromProto fails with InvalidArgument that names the field, written below
// `field`, where a oneof is unset, an enumeration has an unknown value, a
// policy's or a gap lane's text is malformed or a budget is outside its range.

#include <string_view>

#include "absl/status/statusor.h"

#include "common/record/run_info.h"
#include "kvrecall/v1/run_service.pb.h"

namespace kvrecall {

v1::Scope ToProto(Scope scope);
absl::StatusOr<Scope> FromProto(v1::Scope scope, std::string_view field);

v1::Force ToProto(Force force);
// Unset is Force::kNone: requests from before there was a choice.
absl::StatusOr<Force> FromProto(v1::Force force, std::string_view field);

v1::Budget ToProto(const Budget& budget);
absl::StatusOr<Budget> FromProto(const v1::Budget& message,
                                 std::string_view field);

v1::RunConfig ToProto(const RunConfig& config);
absl::StatusOr<RunConfig> FromProto(const v1::RunConfig& message,
                                    std::string_view field = "config");

v1::Provenance ToProto(const Provenance& provenance);
Provenance FromProto(const v1::Provenance& message);

v1::Run ToProto(const RunInfo& run);
absl::StatusOr<RunInfo> FromProto(const v1::Run& message,
                                  std::string_view field = "run");

}  // namespace kvrecall
