// Policies, budgets, scopes and gap lanes as the command line has them.

#include <string>
#include <vector>

#include "common/record/headline.h"
#include "common/record/json.h"
#include "common/record/policy_catalog.h"
#include "common/record/run_config.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

// Its text reads back as itself.
template <typename Spec, typename Parse>
void CheckText(const Spec& spec, Parse parse) {
  const absl::StatusOr<Spec> again = parse(spec.ToString());
  Require(again.ok() && *again == spec, "ToString is read back exactly");
  Require(again->ToString() == spec.ToString(), "ToString is canonical");
}

void CheckPolicy(const PolicySpec& policy) {
  CheckText(policy, ParsePolicySpec);
  const absl::StatusOr<PolicySpec> complete = CompletePolicySpec(policy);
  RequireReadable(complete.status());
  if (!complete.ok()) return;
  CheckText(*complete, ParsePolicySpec);
  const absl::StatusOr<PolicySpec> twice = CompletePolicySpec(*complete);
  Require(twice.ok() && *twice == *complete, "complete is complete");
  RequireReadable(CheckScopes(*complete, std::vector{Scope::kGlobal}));
}

void CheckBudget(const Budget& budget) {
  CheckText(budget, ParseBudget);
  for (const int64_t positions :
       {int64_t{0}, int64_t{1}, int64_t{1000}, int64_t{1} << 40}) {
    const int64_t k = budget.Positions(positions, positions / 2);
    Require(k >= 1 && k <= std::max<int64_t>(positions, 1),
            "a budget is between one position and all");
  }
}

// One list of each kind, and the run that they make.
void CheckRun(std::vector<PolicySpec> policies, std::vector<Budget> budgets,
              std::vector<Scope> scopes, std::vector<GapSpec> gaps) {
  RunConfig config;
  config.task = "custom";
  config.policies = std::move(policies);
  config.budgets = std::move(budgets);
  config.scopes = std::move(scopes);
  config.gaps = std::move(gaps);
  if (config.gaps.empty()) config.gaps = DefaultGaps(config);
  const absl::StatusOr<std::vector<GapSpec>> complete = CompleteGaps(config);
  RequireReadable(complete.status());
  if (complete.ok()) {
    config.gaps = *complete;
    const absl::StatusOr<std::vector<GapSpec>> twice = CompleteGaps(config);
    Require(twice.ok() && *twice == *complete, "complete lanes are complete");
  }
  const Headline headline = HeadlineOf(config);
  const size_t lanes = Lanes(config).size();
  for (const int lane : headline.lanes)
    Require(lane >= 0 && static_cast<size_t>(lane) < lanes,
            "the headline's lanes are the run's");
  const absl::StatusOr<RunConfig> again =
      ConfigFromJson(ConfigToJson(config).dump());
  Require(again.ok() && *again == config, "JSON keeps a run's configuration");
}

}  // namespace

void FuzzSpecs(std::string_view input) {
  InputBytes bytes(input);
  const absl::StatusOr<std::vector<PolicySpec>> policies =
      ParsePolicyList(bytes.Part());
  const absl::StatusOr<std::vector<Budget>> budgets =
      ParseBudgets(bytes.Part());
  const absl::StatusOr<std::vector<Scope>> scopes = ParseScopes(bytes.Part());
  const std::string_view lanes = bytes.Part();
  const absl::StatusOr<std::vector<GapSpec>> gaps = ParseGapSpecs(lanes);
  RequireReadable(policies.status());
  RequireReadable(budgets.status());
  RequireReadable(scopes.status());
  RequireReadable(gaps.status());
  RequireReadable(ParseForce(lanes).status());
  if (policies.ok())
    for (const PolicySpec& policy : *policies) CheckPolicy(policy);
  if (budgets.ok())
    for (const Budget& budget : *budgets) CheckBudget(budget);
  if (gaps.ok())
    for (const GapSpec& gap : *gaps) CheckText(gap, ParseGapSpec);
  if (policies.ok() && budgets.ok() && scopes.ok())
    CheckRun(*policies, *budgets, *scopes,
             gaps.ok() ? *gaps : std::vector<GapSpec>());
}

}  // namespace kvrecall
