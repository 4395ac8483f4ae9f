#include "server/observability/lane_labels.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"
#include "common/record/run_config.h"

namespace kvrecall {
namespace {

absl::Status BadFlag(const char* flag, const absl::Status& why) {
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": ", std::string(why.message())));
}

template <typename T>
absl::StatusOr<std::vector<LaneLabel>> Labels(const char* flag,
                                              const std::vector<T>& values,
                                              size_t most) {
  if (values.size() > most)
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", values.size(), " are given; at most ", most,
                     ", the rest counts as ", kOtherLabel));
  std::vector<LaneLabel> labels;
  for (const T& value : values)
    labels.push_back({value.ToString(), LaneName(value)});
  return labels;
}

// The spec with all its parameters; itself where it is none of the catalog's.
PolicySpec Whole(const PolicySpec& policy) {
  return CompletePolicySpec(policy).value_or(policy);
}

}  // namespace

std::string LaneName(const PolicySpec& policy) {
  return Whole(policy).ToString();
}

std::string LaneName(const Budget& budget) { return budget.ToString(); }

std::string LaneName(const GapSpec& gap) {
  GapSpec whole = gap;
  if (gap.kind == GapSpec::Kind::kOnlyPred) whole.policy = Whole(gap.policy);
  return whole.ToString();
}

absl::StatusOr<LaneLabels> ParseLaneLabels(std::string_view policies,
                                           std::string_view budgets) {
  constexpr char kPolicies[] = "--metrics-policies";
  constexpr char kBudgets[] = "--metrics-budgets";
  RunConfig config;
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  if (!policies.empty()) {
    absl::StatusOr<std::vector<PolicySpec>> given = ParsePolicyList(policies);
    if (!given.ok()) return BadFlag(kPolicies, given.status());
    config.policies = *std::move(given);
  }
  for (const PolicySpec& policy : config.policies) {
    const absl::Status status = CompletePolicySpec(policy).status();
    if (!status.ok()) return BadFlag(kPolicies, status);
  }
  if (!budgets.empty()) {
    absl::StatusOr<std::vector<Budget>> given = ParseBudgets(budgets);
    if (!given.ok()) return BadFlag(kBudgets, given.status());
    config.budgets = *std::move(given);
  }
  LaneLabels labels;
  ASSIGN_OR_RETURN(labels.policies,
                   Labels(kPolicies, config.policies, kMostPolicyLabels));
  ASSIGN_OR_RETURN(labels.budgets,
                   Labels(kBudgets, config.budgets, kMostBudgetLabels));
  for (const GapSpec& gap : DefaultGaps(config))
    labels.gaps.push_back({gap.ToString(), LaneName(gap)});
  return labels;
}

}  // namespace kvrecall
