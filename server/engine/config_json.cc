#include "server/engine/config_json.h"

#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"

namespace kvrecall {

using Json = nlohmann::json;

absl::Status RefuseSetting(const std::string& name, const Json& value,
                           const std::string& right) {
  return absl::InvalidArgumentError(absl::StrCat(
      "config.json: '", OneLine(name), "' is ", OneLine(value.dump()),
      ", which this engine does not compute; ", right));
}

bool IsOff(const Json& value) {
  return value.is_null() || value == false || value == 0 ||
         (value.is_string() && value.get<std::string>().empty()) ||
         ((value.is_array() || value.is_object()) && value.empty());
}

absl::Status ReadPositive(const Json& object, const char* name,
                          const std::string& prefix,
                          std::optional<double> fallback, double& value) {
  const Json found = object.value(name, Json());
  if (found.is_null() && fallback) {
    value = *fallback;
    return absl::OkStatus();
  }
  if (!found.is_number() || !(found.get<double>() > 0))
    return RefuseSetting(absl::StrCat(prefix, name), found,
                         "it must be a positive number");
  value = found.get<double>();
  return absl::OkStatus();
}

absl::Status ReadBool(const Json& object, const char* name, bool fallback,
                      bool& value) {
  const Json found = object.value(name, Json(fallback));
  if (!found.is_boolean())
    return RefuseSetting(name, found, "it must be true or false");
  value = found.get<bool>();
  return absl::OkStatus();
}

}  // namespace kvrecall
