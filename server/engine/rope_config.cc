#include "server/engine/rope_config.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "server/engine/config_json.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

struct TypeEntry {
  std::string name;
  RopeConfig::Type type;
  std::vector<std::string> settings;  // beside rope_theta
};

const std::vector<TypeEntry>& Types() {
  using Type = RopeConfig::Type;
  static const std::vector<TypeEntry> kTypes = {
      {"default", Type::kDefault, {}},
      {"linear", Type::kLinear, {"factor"}},
      {"llama3",
       Type::kLlama3,
       {"factor", "original_max_position_embeddings", "low_freq_factor",
        "high_freq_factor"}},
      {"yarn",
       Type::kYarn,
       {"factor", "original_max_position_embeddings", "attention_factor",
        "mscale", "mscale_all_dim", "beta_fast", "beta_slow", "truncate"}}};
  return kTypes;
}

// RoPE's settings, as one object and what it is called in config.json.
struct Section {
  std::string name;
  Json settings = Json::object();
};

absl::StatusOr<Section> FindSection(const Json& config) {
  Section section;
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const Json found = config.value(name, Json());
    if (IsOff(found)) continue;
    if (!found.is_object())
      return RefuseSetting(name, found, "it must be an object");
    if (!section.settings.empty() && section.settings != found)
      return RefuseSetting(name, found,
                           "rope_parameters says otherwise; keep one of them");
    section = {name, found};
  }
  return section;
}

absl::StatusOr<TypeEntry> ReadType(const Section& section) {
  const Json name = section.settings.value(
      "rope_type", section.settings.value("type", Json("default")));
  const auto entry =
      std::find_if(Types().begin(), Types().end(),
                   [&](const TypeEntry& type) { return name == type.name; });
  if (entry == Types().end())
    return RefuseSetting(absl::StrCat(section.name, ".rope_type"), name,
                         "it must be default, linear, llama3 or yarn");
  return *entry;
}

// transformers ignores settings that the type does not have, with a warning
// that is easily missed: whoever wrote them expected something else.
absl::Status CheckNames(const Section& section, const TypeEntry& type) {
  for (const auto& [name, value] : section.settings.items()) {
    if (name == "rope_type" || name == "type" || name == "rope_theta" ||
        IsOff(value) ||
        std::find(type.settings.begin(), type.settings.end(), name) !=
            type.settings.end())
      continue;
    return RefuseSetting(
        absl::StrCat(section.name, ".", name), value,
        absl::StrCat("leave it out: the type '", type.name, "' has none"));
  }
  return absl::OkStatus();
}

// YaRN's temperature (arXiv 2309.00071, section 3.4).
double Temperature(double factor, double scale) {
  return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1;
}

absl::Status ReadOriginalPositions(const Json& config, const Section& section,
                                   int64_t max_positions, RopeConfig& rope) {
  constexpr char kName[] = "original_max_position_embeddings";
  // The top level has precedence, as in transformers.
  const bool top = !IsOff(config.value(kName, Json()));
  return ReadPositive(
      top ? config : section.settings, kName, top ? "" : section.name + ".",
      static_cast<double>(max_positions), rope.original_positions);
}

absl::Status ReadLlama3(const Section& section, RopeConfig& rope) {
  const std::string prefix = section.name + ".";
  const auto read = [&](const char* name, double& value) {
    return ReadPositive(section.settings, name, prefix, std::nullopt, value);
  };
  RETURN_IF_ERROR(read("factor", rope.factor));
  RETURN_IF_ERROR(read("low_freq_factor", rope.low_frequency_factor));
  RETURN_IF_ERROR(read("high_freq_factor", rope.high_frequency_factor));
  if (rope.high_frequency_factor <= rope.low_frequency_factor)
    return RefuseSetting(prefix + "high_freq_factor",
                         section.settings["high_freq_factor"],
                         "it must be above low_freq_factor");
  return absl::OkStatus();
}

absl::Status ReadYarn(const Section& section, int64_t max_positions,
                      RopeConfig& rope) {
  const std::string prefix = section.name + ".";
  const auto read = [&](const char* name, double fallback, double& value) {
    return ReadPositive(section.settings, name, prefix, fallback, value);
  };
  // A factor of null means the ratio of the two lengths; none is an error.
  if (section.settings.contains("factor") &&
      section.settings["factor"].is_null()) {
    rope.factor = static_cast<double>(max_positions) / rope.original_positions;
  } else {
    RETURN_IF_ERROR(ReadPositive(section.settings, "factor", prefix,
                                 std::nullopt, rope.factor));
  }
  RETURN_IF_ERROR(read("beta_fast", 32, rope.beta_fast));
  RETURN_IF_ERROR(read("beta_slow", 1, rope.beta_slow));
  RETURN_IF_ERROR(ReadBool(section.settings, "truncate", true, rope.truncate));
  double mscale = 0;
  double mscale_all_dim = 0;
  RETURN_IF_ERROR(read("mscale", 0, mscale));
  RETURN_IF_ERROR(read("mscale_all_dim", 0, mscale_all_dim));
  const bool both = mscale > 0 && mscale_all_dim > 0;
  const double computed = both ? Temperature(rope.factor, mscale) /
                                     Temperature(rope.factor, mscale_all_dim)
                               : Temperature(rope.factor, 1);
  RETURN_IF_ERROR(read("attention_factor", computed, rope.attention_factor));
  if (!std::isfinite(rope.factor) || !std::isfinite(rope.attention_factor) ||
      rope.attention_factor <= 0)
    return RefuseSetting(section.name, section.settings,
                         "what follows from it is no positive number");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RopeConfig> ParseRopeConfig(const Json& config,
                                           int64_t max_positions) {
  ASSIGN_OR_RETURN(const Section section, FindSection(config));
  ASSIGN_OR_RETURN(const TypeEntry type, ReadType(section));
  RETURN_IF_ERROR(CheckNames(section, type));
  RopeConfig rope;
  rope.type = type.type;
  const bool inside = section.settings.contains("rope_theta");
  RETURN_IF_ERROR(ReadPositive(inside ? section.settings : config, "rope_theta",
                               inside ? section.name + "." : "", rope.theta,
                               rope.theta));
  if (rope.type == RopeConfig::Type::kLinear)
    RETURN_IF_ERROR(ReadPositive(section.settings, "factor", section.name + ".",
                                 std::nullopt, rope.factor));
  if (rope.type == RopeConfig::Type::kLlama3 ||
      rope.type == RopeConfig::Type::kYarn)
    RETURN_IF_ERROR(
        ReadOriginalPositions(config, section, max_positions, rope));
  if (rope.type == RopeConfig::Type::kLlama3)
    RETURN_IF_ERROR(ReadLlama3(section, rope));
  if (rope.type == RopeConfig::Type::kYarn)
    RETURN_IF_ERROR(ReadYarn(section, max_positions, rope));
  return rope;
}

}  // namespace kvrecall
