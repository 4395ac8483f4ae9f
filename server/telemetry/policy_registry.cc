#include "server/telemetry/policy_registry.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/telemetry/h2o.h"
#include "server/telemetry/oracle.h"
#include "server/telemetry/random_policy.h"

namespace kvrecall {
namespace {

constexpr PolicyParameter kH2oParameters[] = {
    {"self", 1, 0, 1, true},
};
constexpr PolicyParameter kRandomParameters[] = {
    {"seed", 0, 0, 9007199254740991.0, true},
};

constexpr PolicyEntry kPolicies[] = {
    {"h2o",
     "most accumulated attention; a position may come back (self=0: the "
     "step's own position is not forced)",
     "the study's shadow of arXiv 2306.14048", kH2oParameters,
     [](const PolicySpec& spec, const PolicyContext&) {
       return std::unique_ptr<Policy>(
           new H2oPolicy(spec.parameters.at("self") != 0));
     }},
    {"random", "a fixed random priority of each position: the floor",
     "splitmix64 over seed, sample, row and position", kRandomParameters,
     [](const PolicySpec& spec, const PolicyContext& context) {
       return std::unique_ptr<Policy>(
           new RandomPolicy(static_cast<uint64_t>(spec.parameters.at("seed")),
                            context.sample_key));
     }},
    {"oracle",
     "the positions with the most attention now: the ceiling",
     "the gold set itself",
     {},
     [](const PolicySpec&, const PolicyContext&) {
       return std::unique_ptr<Policy>(new OraclePolicy());
     }},
};

const PolicyEntry* Find(std::string_view name) {
  for (const PolicyEntry& entry : kPolicies)
    if (entry.name == name) return &entry;
  return nullptr;
}

// Levenshtein distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row.back();
}

absl::Status UnknownPolicy(const std::string& name) {
  std::vector<std::string> names;
  for (const PolicyEntry& entry : kPolicies) names.emplace_back(entry.name);
  const auto nearest = std::min_element(
      names.begin(), names.end(), [&](const auto& a, const auto& b) {
        return Distance(name, a) < Distance(name, b);
      });
  return absl::InvalidArgumentError(
      absl::StrCat("unknown policy '", name, "'; did you mean ", *nearest,
                   "? The policies are ", absl::StrJoin(names, ", ")));
}

absl::Status CheckParameter(const PolicySpec& spec, const PolicyEntry& entry,
                            const std::string& name, double value) {
  for (const PolicyParameter& parameter : entry.parameters) {
    if (parameter.name != name) continue;
    if (value < parameter.least || value > parameter.most ||
        (parameter.whole && value != std::floor(value)))
      return absl::InvalidArgumentError(
          absl::StrCat("policy '", spec.ToString(), "': ", name, " must be ",
                       parameter.whole ? "a whole number" : "a number",
                       " from ", parameter.least, " to ", parameter.most));
    return absl::OkStatus();
  }
  std::vector<std::string> names;
  for (const PolicyParameter& parameter : entry.parameters)
    names.emplace_back(parameter.name);
  return absl::InvalidArgumentError(absl::StrCat(
      "policy '", spec.ToString(), "' has no parameter '", name, "'; ",
      names.empty() ? "it takes none"
                    : absl::StrCat("it takes ", absl::StrJoin(names, ", "))));
}

}  // namespace

std::span<const PolicyEntry> AllPolicies() { return kPolicies; }

absl::StatusOr<PolicySpec> CompletePolicySpec(PolicySpec spec) {
  const PolicyEntry* entry = Find(spec.name);
  if (entry == nullptr) return UnknownPolicy(spec.name);
  for (const auto& [name, value] : spec.parameters)
    if (absl::Status status = CheckParameter(spec, *entry, name, value);
        !status.ok())
      return status;
  for (const PolicyParameter& parameter : entry->parameters)
    spec.parameters.emplace(std::string(parameter.name), parameter.fallback);
  return spec;
}

absl::StatusOr<std::unique_ptr<Policy>> MakePolicy(
    const PolicySpec& spec, const PolicyContext& context) {
  const PolicyEntry* entry = Find(spec.name);
  if (entry == nullptr) return UnknownPolicy(spec.name);
  return entry->make(spec, context);
}

}  // namespace kvrecall
