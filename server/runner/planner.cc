#include "server/runner/planner.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/longbench/prompt.h"
#include "server/telemetry/policy_registry.h"

namespace kvrecall {
namespace {

// Room for every lane of a study, and a bound on what one request can cost.
constexpr size_t kMaxPolicies = 64;
constexpr size_t kMaxBudgets = 32;

absl::StatusOr<const Task*> TaskOf(const RunConfig& config) {
  auto task = FindTask(config.task);
  if (!task.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("config.task: ", task.status().message()));
  return *task;
}

absl::Status CompleteLanes(RunConfig& config) {
  if (config.policies.empty())
    config.policies = *ParsePolicySpecs(kDefaultPolicies);
  if (config.scopes.empty()) config.scopes = *ParseScopes(kDefaultScopes);
  if (config.budgets.empty()) config.budgets = *ParseBudgets(kDefaultBudgets);
  if (config.policies.size() > kMaxPolicies)
    return absl::InvalidArgumentError(absl::StrCat(
        "config.policies: ", config.policies.size(), " are more than the ",
        kMaxPolicies, " that a run may have"));
  if (config.budgets.size() > kMaxBudgets)
    return absl::InvalidArgumentError(absl::StrCat(
        "config.budgets: ", config.budgets.size(), " are more than the ",
        kMaxBudgets, " that a run may have"));
  for (PolicySpec& policy : config.policies) {
    ASSIGN_OR_RETURN(policy, CompletePolicySpec(std::move(policy)));
  }
  for (size_t i = 0; i < config.policies.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (config.policies[i] == config.policies[j])
        return absl::InvalidArgumentError(
            absl::StrCat("config.policies: ", config.policies[i].ToString(),
                         " is given twice"));
  return absl::OkStatus();
}

absl::Status CompleteLengths(RunConfig& config, const Task& task,
                             const ModelInfo& model) {
  if (config.max_new_tokens == 0) config.max_new_tokens = task.max_new_tokens;
  if (config.max_new_tokens < 0 ||
      config.max_new_tokens >= model.context_window)
    return absl::InvalidArgumentError(absl::StrCat(
        "config.max_new_tokens: ", config.max_new_tokens, " is outside 1 … ",
        model.context_window - 1, "; the model's context has ",
        model.context_window, " positions"));
  if (config.max_prompt_tokens == 0) {
    // LongBench leaves room for the chat template; a window too small for
    // that still holds short prompts.
    auto limit =
        DefaultPromptLimit(model.context_window, config.max_new_tokens);
    config.max_prompt_tokens =
        limit.ok() ? *limit : model.context_window - config.max_new_tokens;
  }
  if (config.max_prompt_tokens < 2 ||
      config.max_prompt_tokens + config.max_new_tokens > model.context_window)
    return absl::InvalidArgumentError(absl::StrCat(
        "config.max_prompt_tokens: ", config.max_prompt_tokens, " and ",
        config.max_new_tokens, " new tokens do not fit the model's ",
        model.context_window, " positions"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunConfig> CompleteConfig(RunConfig config,
                                         const ModelInfo& model,
                                         const PromptBuilder& prompts) {
  ASSIGN_OR_RETURN(const Task* task, TaskOf(config));
  RETURN_IF_ERROR(CompleteLanes(config));
  RETURN_IF_ERROR(CompleteLengths(config, *task, model));
  if (config.chat_template.empty()) config.chat_template = "auto";
  RETURN_IF_ERROR(
      prompts.DescribeChatTemplate(*task, config.chat_template).status());
  return config;
}

absl::StatusOr<Provenance> DescribeProvenance(const RunConfig& config,
                                              const ModelInfo& model,
                                              const PromptBuilder& prompts) {
  ASSIGN_OR_RETURN(const Task* task, TaskOf(config));
  Provenance provenance;
  provenance.program_version = kVersion;
  provenance.program_commit = kCommit;
  provenance.model = model.name;
  provenance.model_digest = model.digest;
  provenance.tokenizer_digest = prompts.tokenizer().digest();
  provenance.prompt_template = std::string(task->prompt_template);
  ASSIGN_OR_RETURN(provenance.chat_template,
                   prompts.DescribeChatTemplate(*task, config.chat_template));
  provenance.truncation = absl::StrCat("middle: first and last half of ",
                                       config.max_prompt_tokens, " tokens");
  provenance.dtype = model.dtype;
  provenance.device = model.device;
  provenance.threads = model.threads;
  provenance.libtorch = model.libtorch;
  provenance.mode = "exact";
  provenance.prefill_chunk = model.prefill_chunk;
  return provenance;
}

}  // namespace kvrecall
