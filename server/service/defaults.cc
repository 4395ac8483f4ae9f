#include "server/service/defaults.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/longbench/prompt.h"
#include "common/longbench/task.h"
#include "common/record/policy_catalog.h"
#include "proto/convert/field.h"

namespace kvrecall {
namespace {

// Above any study, a sweep of triggers included; keeps a request from making
// records without bound.
constexpr size_t kMaxPolicies = 64;
constexpr size_t kMaxScopes = 3;
// It comes with every answer about the run.
constexpr size_t kMostTemplateBytes = 64 << 10;

// What a list may not hold: more than `limit` entries, or one of them twice.
template <typename T, typename Name>
absl::Status CheckList(std::string_view field, const std::vector<T>& list,
                       size_t limit, Name name) {
  if (list.size() > limit)
    return FieldError(
        field, absl::StrCat("has ", list.size(), " entries; at most ", limit));
  for (size_t i = 0; i < list.size(); ++i)
    if (std::find(list.begin(), list.begin() + i, list[i]) != list.begin() + i)
      return FieldError(
          FieldPath("", field, static_cast<int>(i)),
          absl::StrCat(OneLine(name(list[i])), " is given twice"));
  return absl::OkStatus();
}

absl::Status CheckLists(const RunConfig& config) {
  RETURN_IF_ERROR(
      CheckList("config.policies", config.policies, kMaxPolicies,
                [](const PolicySpec& policy) { return policy.ToString(); }));
  RETURN_IF_ERROR(
      CheckList("config.scopes", config.scopes, kMaxScopes,
                [](Scope scope) { return std::string(ScopeName(scope)); }));
  return CheckList("config.budgets", config.budgets, kMaxBudgets,
                   [](const Budget& budget) { return budget.ToString(); });
}

// What must hold between policies and scopes.
absl::Status CheckPolicyScopes(const RunConfig& config) {
  for (size_t i = 0; i < config.policies.size(); ++i) {
    const absl::Status status = CheckScopes(config.policies[i], config.scopes);
    if (!status.ok())
      return FieldError(FieldPath("", "config.policies", static_cast<int>(i)),
                        std::string(status.message()));
  }
  return absl::OkStatus();
}

absl::Status CompleteGapLanes(RunConfig* config) {
  absl::StatusOr<std::vector<GapSpec>> gaps = CompleteGaps(*config);
  if (!gaps.ok())
    return FieldError("config.gaps", std::string(gaps.status().message()));
  config->gaps = *std::move(gaps);
  return absl::OkStatus();
}

// A request's, before its defaults are filled in.
absl::Status CheckForce(const RunConfig& config) {
  if (config.force == Force::kNone) return absl::OkStatus();
  const std::string force(ForceName(config.force));
  if (config.max_new_tokens != 0)
    return FieldError(
        "config.max_new_tokens",
        absl::StrCat(config.max_new_tokens, " does not go with force ", force,
                     ": the forced text decides its own length; leave it out"));
  if (config.ignore_eos)
    return FieldError("config.ignore_eos",
                      absl::StrCat("does not go with force ", force,
                                   ": the forced text ends with its EOS; leave "
                                   "it out"));
  return absl::OkStatus();
}

// `value` must be at least 1, or 0 for the default.
absl::Status CheckTokens(std::string_view field, int64_t value,
                         int64_t context_window) {
  if (value < 0)
    return FieldError(field, absl::StrCat(value,
                                          " is negative; give at least "
                                          "1, or 0 for the default"));
  if (value > context_window)
    return FieldError(field, absl::StrCat(value,
                                          " is more than the model's "
                                          "window of ",
                                          context_window, " positions"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunConfig> CompleteDefaults(RunConfig config,
                                           int64_t context_window) {
  if (config.task.empty())
    return FieldError("config.task", "is empty; give a task's name");
  const absl::StatusOr<const Task*> task = FindTask(config.task);
  if (!task.ok())
    return FieldError("config.task", std::string(task.status().message()));
  if (config.policies.empty())
    config.policies = {{"h2o", {}}, {"random", {}}, {"oracle", {}}};
  if (config.scopes.empty()) config.scopes = {Scope::kGlobal, Scope::kLayer};
  if (config.budgets.empty())
    for (double ratio : {0.1, 0.2, 0.3})
      config.budgets.push_back({Budget::Kind::kCurrentRatio, ratio});
  RETURN_IF_ERROR(CheckLists(config));
  RETURN_IF_ERROR(CheckPolicyScopes(config));
  RETURN_IF_ERROR(CompleteGapLanes(&config));
  RETURN_IF_ERROR(CheckForce(config));
  RETURN_IF_ERROR(CheckTokens("config.max_new_tokens", config.max_new_tokens,
                              context_window));
  RETURN_IF_ERROR(CheckTokens("config.max_prompt_tokens",
                              config.max_prompt_tokens, context_window));
  if (config.chat_template.empty()) config.chat_template = "auto";
  if (config.chat_template != "auto" && config.chat_template != "none" &&
      config.chat_template != "chatml")
    return FieldError(
        "config.chat_template",
        absl::StrCat("unknown template '", OneLine(config.chat_template),
                     "'; give auto, none or chatml"));

  if (!config.prompt_template.empty() && config.task != kCustomTask)
    return FieldError(
        "config.prompt_template",
        absl::StrCat("is of task custom only; ", config.task, " has its own"));
  if (config.prompt_template.size() > kMostTemplateBytes)
    return FieldError("config.prompt_template",
                      absl::StrCat("has ", config.prompt_template.size(),
                                   " bytes; at most ", kMostTemplateBytes));

  if (config.max_new_tokens == 0)
    config.max_new_tokens = (*task)->max_new_tokens;
  if (config.max_prompt_tokens == 0) {
    const absl::StatusOr<int64_t> limit =
        DefaultPromptLimit(context_window, config.max_new_tokens);
    if (!limit.ok())
      return FieldError("config.max_new_tokens",
                        std::string(limit.status().message()));
    config.max_prompt_tokens = *limit;
  }
  if (config.max_prompt_tokens + config.max_new_tokens > context_window)
    return FieldError(
        "config.max_prompt_tokens",
        absl::StrCat(config.max_prompt_tokens, " and ", config.max_new_tokens,
                     " new tokens are more than the model's window of ",
                     context_window, " positions"));
  return config;
}

}  // namespace kvrecall
