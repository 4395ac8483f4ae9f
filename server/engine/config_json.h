#pragma once

// Reading config.json: what its readers share. No state.

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace kvrecall {

// InvalidArgument: `name` has a value that the engine does not compute;
// `right` says which it does.
absl::Status RefuseSetting(const std::string& name, const nlohmann::json& value,
                           const std::string& right);

// Null, false, 0, "" and empty containers switch nothing on.
bool IsOff(const nlohmann::json& value);

// The positive number `name` of `object`, whose settings are called
// `prefix` + name in errors; `fallback`, if there is one, where it is absent or
// null.
absl::Status ReadPositive(const nlohmann::json& object, const char* name,
                          const std::string& prefix,
                          std::optional<double> fallback, double& value);

// True or false; `fallback` where it is absent.
absl::Status ReadBool(const nlohmann::json& object, const char* name,
                      bool fallback, bool& value);

}  // namespace kvrecall
