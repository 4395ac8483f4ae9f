#include "common/record/gap_spec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"
#include "common/record/run_config.h"

namespace kvrecall {
namespace {

constexpr char kWithoutGoldName[] = "without_gold";
constexpr char kOnlyPredName[] = "only_pred";

absl::Status Malformed(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("gap lane '", std::string(text), "': ", std::string(why),
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

absl::Status CheckGap(const RunConfig& config, const GapSpec& gap) {
  const auto missing = [&](std::string_view what, std::string_view add) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gap lane '", gap.ToString(), "': the run does not simulate ",
        std::string(what), "; add it to ", std::string(add)));
  };
  if (!Contains(config.scopes, gap.scope))
    return missing(absl::StrCat("scope ", std::string(ScopeName(gap.scope))),
                   "its scopes");
  if (!Contains(config.budgets, gap.budget))
    return missing(absl::StrCat("budget ", gap.budget.ToString()),
                   "its budgets");
  if (gap.kind == GapSpec::Kind::kWithoutGold) return absl::OkStatus();
  if (!Contains(config.policies, gap.policy))
    return missing(absl::StrCat("policy ", gap.policy.ToString()),
                   "its policies");
  if (!IsDefinedIn(gap.policy, gap.scope))
    return absl::InvalidArgumentError(absl::StrCat(
        "gap lane '", gap.ToString(), "': ", gap.policy.name,
        " is not defined in scope ", std::string(ScopeName(gap.scope))));
  return absl::OkStatus();
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
      return absl::InvalidArgumentError(
          absl::StrCat("gap lane ", gap.ToString(), " is given twice"));
    gaps.push_back(std::move(gap));
  }
  return gaps;
}

std::vector<GapSpec> DefaultGaps(const RunConfig& config) {
  if (config.policies.empty() || config.scopes.empty()) return {};
  const auto named = [&](auto matches) {
    return std::find_if(config.policies.begin(), config.policies.end(),
                        matches);
  };
  auto policy = named([](const PolicySpec& p) { return p.name == "h2o"; });
  if (policy == config.policies.end())
    policy = named([](const PolicySpec& p) { return p.name != "oracle"; });
  const Scope scope = Contains(config.scopes, Scope::kGlobal)
                          ? Scope::kGlobal
                          : config.scopes.front();
  std::vector<GapSpec> gaps;
  for (const Budget& budget : config.budgets)
    gaps.push_back({GapSpec::Kind::kWithoutGold, {}, budget, scope});
  if (policy == config.policies.end() || !IsDefinedIn(*policy, scope))
    return gaps;
  for (const Budget& budget : config.budgets)
    gaps.push_back({GapSpec::Kind::kOnlyPred, *policy, budget, scope});
  return gaps;
}

absl::Status CheckGaps(const RunConfig& config) {
  if (config.gaps.size() > kMaxGaps)
    return absl::InvalidArgumentError(
        absl::StrCat(config.gaps.size(), " gap lanes; at most ", kMaxGaps));
  for (size_t i = 0; i < config.gaps.size(); ++i) {
    const GapSpec& gap = config.gaps[i];
    if (std::find(config.gaps.begin(), config.gaps.begin() + i, gap) !=
        config.gaps.begin() + i)
      return absl::InvalidArgumentError(
          absl::StrCat("gap lane ", gap.ToString(), " is given twice"));
    RETURN_IF_ERROR(CheckGap(config, gap));
  }
  return absl::OkStatus();
}

}  // namespace kvrecall
