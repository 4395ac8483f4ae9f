#include "client/export/catalog_json.h"

#include <cmath>
#include <string>

#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

// Whole numbers without a decimal point.
Json NumberToJson(double value) {
  if (value == std::floor(value)) return static_cast<int64_t>(value);
  return value;
}

const char* RuleName(NumberRule rule) {
  switch (rule) {
    case NumberRule::kAny:
      return "any";
    case NumberRule::kWhole:
      return "whole";
    case NumberRule::kOdd:
      return "odd";
  }
  return "any";
}

Json ParameterToJson(const PolicyParameter& parameter, bool has_default) {
  Json json;
  json["name"] = std::string(parameter.name);
  if (has_default) json["default"] = NumberToJson(parameter.fallback);
  json["least"] = NumberToJson(parameter.least);
  json["most"] = NumberToJson(parameter.most);
  json["rule"] = RuleName(parameter.rule);
  json["summary"] = std::string(parameter.summary);
  return json;
}

}  // namespace

Json CatalogToJson() {
  Json json;
  json["policies"] = Json::array();
  for (const PolicyEntry& policy : AllPolicies()) {
    Json entry;
    entry["name"] = std::string(policy.name);
    entry["summary"] = std::string(policy.summary);
    entry["source"] = std::string(policy.source);
    entry["irreversible"] = policy.irreversible;
    entry["per_layer"] = policy.per_layer;
    entry["parameters"] = Json::array();
    for (const PolicyParameter& parameter : policy.parameters) {
      entry["parameters"].push_back(
          ParameterToJson(parameter, /*has_default=*/true));
    }
    json["policies"].push_back(std::move(entry));
  }
  json["triggers"] = Json::array();
  for (const TriggerEntry& trigger : AllTriggers()) {
    Json entry;
    entry["name"] = std::string(trigger.name);
    entry["summary"] = std::string(trigger.summary);
    entry["value"] = ParameterToJson(trigger.value, /*has_default=*/false);
    json["triggers"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace kvrecall
