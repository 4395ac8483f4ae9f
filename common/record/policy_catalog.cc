#include "common/record/policy_catalog.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr double kMostPositions = 1 << 20;
constexpr double kMostWhole = 9007199254740991.0;  // 2⁵³ − 1

constexpr PolicyParameter kH2oParameters[] = {
    {"self", 1, 0, 1, NumberRule::kWhole,
     "1: the step's own position is always held"},
};
constexpr PolicyParameter kH2oWindowParameters[] = {
    {"w", 32, 1, kMostPositions, NumberRule::kWhole, "last positions held"},
};
constexpr PolicyParameter kStreamingParameters[] = {
    {"sinks", 4, 0, kMostPositions, NumberRule::kWhole, "first positions held"},
};
constexpr PolicyParameter kSnapKvParameters[] = {
    {"kernel", 7, 1, 1023, NumberRule::kOdd, "positions pooled over"},
    {"w", 32, 1, kMostPositions, NumberRule::kWhole, "last prompt queries"},
};
constexpr PolicyParameter kRandomParameters[] = {
    {"seed", 0, 0, kMostWhole, NumberRule::kWhole, "of the priorities"},
};

constexpr PolicyEntry kPolicies[] = {
    {"h2o", "most accumulated attention; a position may come back",
     "the study's shadow of arXiv 2306.14048", kH2oParameters},
    {"h2o_window", "the last w positions, then most accumulated attention",
     "common practice after arXiv 2306.14048", kH2oWindowParameters},
    {"h2o_mean",
     "most accumulated attention per query that could see the position",
     "h2o without its bias to early positions",
     {}},
    {"h2o_evict",
     "half heavy hitters, half recent positions; what it drops is gone",
     "arXiv 2306.14048",
     {},
     /*irreversible=*/true},
    {"streaming", "the first positions (sinks) and the last ones",
     "arXiv 2309.17453", kStreamingParameters},
    {"snapkv",
     "prompt positions by the pooled attention of the last prompt queries; all "
     "generated ones",
     "arXiv 2404.14469", kSnapKvParameters},
    {"tova",
     "drops the least attended of the previous query; it is gone",
     "arXiv 2401.06104",
     {},
     /*irreversible=*/true},
    {"pyramidkv", "snapkv with budgets that fall with the layer",
     "arXiv 2406.02069", kSnapKvParameters, /*irreversible=*/false,
     /*per_layer=*/true},
    {"knorm", "the keys of smallest norm", "arXiv 2406.11430", {}},
    {"keydiff",
     "the keys least similar to the mean key",
     "arXiv 2504.15364",
     {}},
    {"random", "a fixed random priority of each position: the floor",
     "splitmix64 over seed, sample, row and position", kRandomParameters},
    {"oracle",
     "the positions with the most attention now: the ceiling",
     "the gold set itself",
     {}},
};

constexpr TriggerEntry kTriggers[] = {
    {"entropy",
     "when the previous token's entropy exceeded the number (nats)",
     {"nats", 0, 0, 100, NumberRule::kAny, "entropy to exceed"}},
    {"periodic",
     "every so many steps",
     {"steps", 0, 1, kMostPositions, NumberRule::kWhole, "period"}},
    {"random",
     "with this probability at each step",
     {"probability", 0, 0, 1, NumberRule::kAny, "of each step"}},
};

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

template <typename Entry>
std::vector<std::string> NamesOf(std::span<const Entry> entries) {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.emplace_back(entry.name);
  return names;
}

// `names` must not be empty.
const std::string& Nearest(const std::string& name,
                           const std::vector<std::string>& names) {
  return *std::min_element(names.begin(), names.end(),
                           [&](const auto& a, const auto& b) {
                             return Distance(name, a) < Distance(name, b);
                           });
}

// "unknown policy 'h20'; did you mean h2o? The policies are …"
template <typename Entry>
absl::Status UnknownName(std::string_view kind, std::string_view plural,
                         const std::string& name,
                         std::span<const Entry> entries) {
  const std::vector<std::string> names = NamesOf(entries);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown ", std::string(kind), " '", name,
                   "'; did you mean ", Nearest(name, names), "? The ",
                   std::string(plural), " are ", absl::StrJoin(names, ", ")));
}

// "it takes kernel, w; did you mean kernel?". Parameters are few and may have
// nothing to do with what was written: one is named only where half of the
// letters agree.
std::string WhatItTakes(const PolicyEntry& entry, const std::string& name) {
  if (entry.parameters.empty()) return "it takes none";
  const std::vector<std::string> names = NamesOf(entry.parameters);
  std::string text = absl::StrCat("it takes ", absl::StrJoin(names, ", "));
  const std::string& nearest = Nearest(name, names);
  if (2 * Distance(name, nearest) <= std::max(name.size(), nearest.size()))
    absl::StrAppend(&text, "; did you mean ", nearest, "?");
  return text;
}

bool Obeys(const PolicyParameter& rule, double value) {
  if (!(value >= rule.least && value <= rule.most)) return false;
  if (rule.rule == NumberRule::kAny) return true;
  return value == std::floor(value) &&
         (rule.rule == NumberRule::kWhole || std::fmod(value, 2) == 1);
}

absl::Status CheckNumber(const PolicySpec& spec, const PolicyParameter& rule,
                         double value) {
  if (Obeys(rule, value)) return absl::OkStatus();
  const char* kind = rule.rule == NumberRule::kAny     ? "a number"
                     : rule.rule == NumberRule::kWhole ? "a whole number"
                                                       : "an odd number";
  return absl::InvalidArgumentError(
      absl::StrCat("policy '", OneLine(spec.ToString()),
                   "': ", std::string(rule.name), " must be ", kind, " from ",
                   NumberText(rule.least), " to ", NumberText(rule.most)));
}

absl::Status CheckParameter(const PolicySpec& spec, const PolicyEntry& entry,
                            const std::string& name, double value) {
  for (const PolicyParameter& parameter : entry.parameters)
    if (parameter.name == name) return CheckNumber(spec, parameter, value);
  return absl::InvalidArgumentError(
      absl::StrCat("policy '", OneLine(spec.ToString()), "' has no parameter '",
                   name, "'; ", WhatItTakes(entry, name)));
}

absl::Status CheckTrigger(const PolicySpec& spec, const PolicyEntry& entry) {
  for (const TriggerEntry& trigger : kTriggers) {
    if (trigger.name != spec.trigger->name) continue;
    if (!entry.irreversible)
      return absl::InvalidArgumentError(absl::StrCat(
          "policy '", OneLine(spec.ToString()), "': ", spec.name,
          " loses nothing, so it takes no trigger; h2o_evict and tova do"));
    return CheckNumber(spec, trigger.value, spec.trigger->value);
  }
  return UnknownName<TriggerEntry>("trigger", "triggers", spec.trigger->name,
                                   kTriggers);
}

}  // namespace

std::span<const PolicyEntry> AllPolicies() { return kPolicies; }
std::span<const TriggerEntry> AllTriggers() { return kTriggers; }

const PolicyEntry* FindPolicy(std::string_view name) {
  for (const PolicyEntry& entry : kPolicies)
    if (entry.name == name) return &entry;
  return nullptr;
}

absl::StatusOr<PolicySpec> CompletePolicySpec(PolicySpec spec) {
  const PolicyEntry* entry = FindPolicy(spec.name);
  if (entry == nullptr)
    return UnknownName<PolicyEntry>("policy", "policies", spec.name, kPolicies);
  for (const auto& [name, value] : spec.parameters)
    RETURN_IF_ERROR(CheckParameter(spec, *entry, name, value));
  if (spec.trigger) RETURN_IF_ERROR(CheckTrigger(spec, *entry));
  for (const PolicyParameter& parameter : entry->parameters)
    spec.parameters.emplace(std::string(parameter.name), parameter.fallback);
  return spec;
}

bool IsDefinedIn(const PolicySpec& spec, Scope scope) {
  const PolicyEntry* entry = FindPolicy(spec.name);
  return entry == nullptr || !entry->per_layer || scope != Scope::kGlobal;
}

absl::Status CheckScopes(const PolicySpec& spec,
                         std::span<const Scope> scopes) {
  for (Scope scope : scopes)
    if (IsDefinedIn(spec, scope)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      spec.name,
      " gives each layer a budget of its own, so it is not defined in scope "
      "global; add layer or head"));
}

absl::StatusOr<std::vector<PolicySpec>> ParsePolicyList(std::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<PolicySpec> given, ParsePolicySpecs(text));
  const PolicySpec all{.name = "all", .parameters = {}};
  std::vector<PolicySpec> specs;
  const auto add = [&specs](const PolicySpec& spec) {
    if (std::find(specs.begin(), specs.end(), spec) == specs.end())
      specs.push_back(spec);
  };
  for (const PolicySpec& spec : given) {
    if (spec != all) {
      add(spec);
      continue;
    }
    for (const PolicyEntry& entry : kPolicies)
      add({.name = std::string(entry.name), .parameters = {}});
  }
  return specs;
}

}  // namespace kvrecall
