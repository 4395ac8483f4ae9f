#include "common/record/gap_spec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"
#include "common/record/run_config.h"

namespace kvrecall {
namespace {

constexpr char kWithoutGoldName[] = "without_gold";
constexpr char kOnlyPredName[] = "only_pred";

absl::Status Malformed(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("gap lane '", OneLine(text), "': ", std::string(why),
                   "; write it like without_gold(0.1), only_pred(h2o,0.1) or "
                   "only_pred(h2o,0.1,layer)"));
}

// At commas outside of parentheses, without the spaces around.
std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) {
      depth += (text[i] == '(') - (text[i] == ')');
      if (text[i] != ',' || depth > 0) continue;
    }
    const std::string_view part = text.substr(begin, i - begin);
    parts.emplace_back(absl::StripAsciiWhitespace(
        absl::string_view(part.data(), part.size())));
    begin = i + 1;
  }
  return parts;
}

template <typename T>
bool Contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

absl::Status Refused(const GapSpec& gap, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "gap lane '", OneLine(gap.ToString()), "': ", std::string(why)));
}

absl::Status NotSimulated(const GapSpec& gap, const std::string& what,
                          const char* list) {
  return Refused(gap, absl::StrCat("the run does not simulate ", what,
                                   "; add it to its ", list));
}

// The run's policy that is the same with every parameter written out.
absl::StatusOr<PolicySpec> PolicyOfRun(const RunConfig& config,
                                       const GapSpec& gap) {
  const absl::StatusOr<PolicySpec> wanted = CompletePolicySpec(gap.policy);
  if (!wanted.ok()) return Refused(gap, std::string(wanted.status().message()));
  for (const PolicySpec& policy : config.policies) {
    const absl::StatusOr<PolicySpec> complete = CompletePolicySpec(policy);
    if (complete.ok() && *complete == *wanted) return policy;
  }
  return NotSimulated(
      gap, absl::StrCat("policy ", OneLine(gap.policy.ToString())), "policies");
}

absl::StatusOr<GapSpec> CompleteGap(const RunConfig& config, GapSpec gap) {
  const std::string scope(ScopeName(gap.scope));
  if (!Contains(config.scopes, gap.scope))
    return NotSimulated(gap, absl::StrCat("scope ", scope), "scopes");
  if (!Contains(config.budgets, gap.budget))
    return NotSimulated(gap, absl::StrCat("budget ", gap.budget.ToString()),
                        "budgets");
  if (gap.kind == GapSpec::Kind::kWithoutGold) return gap;
  ASSIGN_OR_RETURN(gap.policy, PolicyOfRun(config, gap));
  if (!IsDefinedIn(gap.policy, gap.scope))
    return Refused(
        gap, absl::StrCat(gap.policy.name, " is not defined in scope ", scope));
  return gap;
}

// h2o, else the first one that is not the oracle, that has the scope; null if
// there is none.
const PolicySpec* DefaultPolicy(const RunConfig& config, Scope scope) {
  const PolicySpec* first = nullptr;
  for (const PolicySpec& policy : config.policies) {
    if (policy.name == "oracle" || !IsDefinedIn(policy, scope)) continue;
    if (policy.name == "h2o") return &policy;
    if (first == nullptr) first = &policy;
  }
  return first;
}

// Global before the others.
std::vector<Scope> ByPreference(std::vector<Scope> scopes) {
  std::stable_partition(scopes.begin(), scopes.end(),
                        [](Scope scope) { return scope == Scope::kGlobal; });
  return scopes;
}

}  // namespace

std::string GapSpec::ToString() const {
  std::string text =
      kind == Kind::kWithoutGold
          ? absl::StrCat(kWithoutGoldName, "(")
          : absl::StrCat(kOnlyPredName, "(", policy.ToString(), ",");
  absl::StrAppend(&text, budget.ToString());
  if (scope != Scope::kGlobal)
    absl::StrAppend(&text, ",", std::string(ScopeName(scope)));
  return text + ")";
}

absl::StatusOr<GapSpec> ParseGapSpec(std::string_view text) {
  const absl::string_view trimmed =
      absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  const size_t open = trimmed.find('(');
  if (open == absl::string_view::npos || trimmed.back() != ')')
    return Malformed(text, "parentheses are missing");
  const absl::string_view name = trimmed.substr(0, open);
  GapSpec gap;
  if (name == kOnlyPredName)
    gap.kind = GapSpec::Kind::kOnlyPred;
  else if (name != kWithoutGoldName)
    return Malformed(text, "the lanes are without_gold and only_pred");
  const absl::string_view inside =
      trimmed.substr(open + 1, trimmed.size() - open - 2);
  std::vector<std::string> parts =
      SplitAtCommas(std::string_view(inside.data(), inside.size()));
  const size_t least = gap.kind == GapSpec::Kind::kOnlyPred ? 2 : 1;
  if (parts.size() < least || parts.size() > least + 1)
    return Malformed(text, least == 2 ? "it takes a policy, a budget and, if "
                                        "not global, a scope"
                                      : "it takes a budget and, if not global, "
                                        "a scope");
  if (least == 2) {
    ASSIGN_OR_RETURN(gap.policy, ParsePolicySpec(parts[0]));
  }
  ASSIGN_OR_RETURN(gap.budget, ParseBudget(parts[least - 1]));
  if (parts.size() > least) {
    ASSIGN_OR_RETURN(gap.scope, ParseScope(parts[least]));
  }
  return gap;
}

absl::StatusOr<std::vector<GapSpec>> ParseGapSpecs(std::string_view text) {
  std::vector<GapSpec> gaps;
  for (const std::string& part : SplitAtCommas(text)) {
    ASSIGN_OR_RETURN(GapSpec gap, ParseGapSpec(part));
    if (Contains(gaps, gap))
      return absl::InvalidArgumentError(absl::StrCat(
          "gap lane ", OneLine(gap.ToString()), " is given twice"));
    gaps.push_back(std::move(gap));
  }
  return gaps;
}

std::vector<GapSpec> DefaultGaps(const RunConfig& config) {
  if (config.scopes.empty()) return {};
  const std::vector<Scope> scopes = ByPreference(config.scopes);
  const auto chosen = std::find_if(
      scopes.begin(), scopes.end(),
      [&](Scope scope) { return DefaultPolicy(config, scope) != nullptr; });
  const Scope scope = chosen == scopes.end() ? scopes.front() : *chosen;
  std::vector<GapSpec> gaps;
  for (const Budget& budget : config.budgets)
    gaps.push_back({GapSpec::Kind::kWithoutGold, {}, budget, scope});
  if (chosen == scopes.end()) return gaps;
  const PolicySpec& policy = *DefaultPolicy(config, scope);
  for (const Budget& budget : config.budgets)
    gaps.push_back({GapSpec::Kind::kOnlyPred, policy, budget, scope});
  return gaps;
}

absl::StatusOr<std::vector<GapSpec>> CompleteGaps(const RunConfig& config) {
  if (config.gaps.size() > kMaxGaps)
    return absl::InvalidArgumentError(
        absl::StrCat(config.gaps.size(), " gap lanes; at most ", kMaxGaps));
  std::vector<GapSpec> gaps;
  for (const GapSpec& given : config.gaps) {
    ASSIGN_OR_RETURN(GapSpec gap, CompleteGap(config, given));
    if (Contains(gaps, gap))
      return absl::InvalidArgumentError(absl::StrCat(
          "gap lane ", OneLine(gap.ToString()), " is given twice"));
    gaps.push_back(std::move(gap));
  }
  return gaps;
}

}  // namespace kvrecall
