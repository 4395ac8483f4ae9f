#pragma once

// Run configuration and provenance as JSON: the form in which the database
// keeps them and the export writes them. Field names equal the struct's;
// budgets, policies, scopes, gap lanes and the forced continuation are written
// in their text form.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

#include "common/record/run_config.h"

namespace kvrecall {

// `gaps` and `force` are left out where the run has none: digests are taken of
// this text, and a run without them keeps those that it always had.
nlohmann::ordered_json ConfigToJson(const RunConfig& config);
nlohmann::ordered_json ProvenanceToJson(const Provenance& provenance);

// InvalidArgument names the missing or wrong field.
absl::StatusOr<RunConfig> ConfigFromJson(std::string_view text);
absl::StatusOr<Provenance> ProvenanceFromJson(std::string_view text);

}  // namespace kvrecall
