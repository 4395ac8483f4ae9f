#include "server/runner/planner.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/longbench/task.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

absl::StatusOr<const Task*> TaskOf(const RunConfig& config) {
  auto task = FindTask(config.task);
  if (!task.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("config.task: ", task.status().message()));
  return *task;
}

// The policies with all parameters. Two spellings of one are found only when
// both are complete.
absl::StatusOr<std::vector<std::string>> CompletePolicies(
    const std::vector<PolicySpec>& policies) {
  std::vector<std::string> complete;
  for (const PolicySpec& policy : policies) {
    auto spec = CompletePolicySpec(policy);
    if (!spec.ok())
      return absl::InvalidArgumentError(
          absl::StrCat("config.policies: ", spec.status().message()));
    const std::string text = spec->ToString();
    if (std::find(complete.begin(), complete.end(), text) != complete.end())
      return absl::InvalidArgumentError(
          absl::StrCat("config.policies: ", text, " is given twice"));
    complete.push_back(text);
  }
  return complete;
}

}  // namespace

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
  provenance.prompt_template = config.prompt_template.empty()
                                   ? std::string(task->prompt_template)
                                   : config.prompt_template;
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
  provenance.kernels = model.kernels;
  ASSIGN_OR_RETURN(provenance.policies, CompletePolicies(config.policies));
  return provenance;
}

}  // namespace kvrecall
