#pragma once

// The catalog of policies as one JSON object, for scripts. Thread-safe.

#include "nlohmann/json.hpp"

namespace kvrecall {

// {"policies":[{"name","summary","source","irreversible","per_layer",
// "parameters":[{"name","default","least","most","rule","summary"}]}],
// "triggers":[{"name","summary","value":{…}}]}. A rule is "any", "whole" or
// "odd"; a trigger's value has no default.
nlohmann::ordered_json CatalogToJson();

}  // namespace kvrecall
