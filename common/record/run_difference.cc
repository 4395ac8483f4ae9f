#include "common/record/run_difference.h"

#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

#include "common/base/digest.h"
#include "common/base/one_line.h"
#include "common/record/json.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

Json ComparedProvenance(const RunInfo& run) {
  Json json = ProvenanceToJson(run.provenance);
  json.erase("model");
  return json;
}

std::string ValueOf(const Json& json, const std::string& name) {
  constexpr size_t kMostShown = 60;  // of a template, or of a long list
  if (!json.contains(name)) return "none";
  const Json& value = json.at(name);
  const std::string text =
      value.is_string()
          ? value.get<std::string>()
          : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.empty() ? "none" : OneLine(text, kMostShown);
}

void AddDifferences(const Json& one, const Json& other,
                    std::vector<std::string>& differences) {
  const auto add = [&](const std::string& name) {
    differences.push_back(absl::StrCat(name, " (", ValueOf(one, name), " and ",
                                       ValueOf(other, name), ")"));
  };
  for (const auto& [name, value] : one.items())
    if (!other.contains(name) || other.at(name) != value) add(name);
  for (const auto& [name, value] : other.items())
    if (!one.contains(name)) add(name);
}

}  // namespace

std::string RunDifference(const RunInfo& one, const RunInfo& other) {
  std::vector<std::string> differences;
  AddDifferences(ConfigToJson(one.config), ConfigToJson(other.config),
                 differences);
  // With another configuration other policies and another limit follow, which
  // would be told twice.
  if (differences.empty())
    AddDifferences(ComparedProvenance(one), ComparedProvenance(other),
                   differences);
  if (one.provenance.model_digest != other.provenance.model_digest)
    differences.insert(
        differences.begin(),
        absl::StrCat("model (", OneLine(one.provenance.model), " and ",
                     OneLine(other.provenance.model), ")"));
  return absl::StrJoin(differences, ", ");
}

std::string StudyDigest(const RunInfo& run) {
  Sha256 digest;
  digest.AddField(ConfigToJson(run.config).dump());
  digest.AddField(ComparedProvenance(run).dump());
  return digest.HexDigest();
}

}  // namespace kvrecall
