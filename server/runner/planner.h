#pragma once

// Completes what a client asked for into what will be run. Thread-safe.

#include "absl/status/statusor.h"

#include "common/record/run_config.h"
#include "server/engine/model.h"
#include "server/runner/prompt_builder.h"

namespace kvrecall {

// The defaults of a run whose request leaves them open.
inline constexpr char kDefaultPolicies[] = "h2o,random,oracle";
inline constexpr char kDefaultBudgets[] = "0.1,0.2,0.3";
inline constexpr char kDefaultScopes[] = "global,layer";

// Fills in defaults and checks every field against the task, the policies and
// the model's window. InvalidArgument names the field.
absl::StatusOr<RunConfig> CompleteConfig(RunConfig requested,
                                         const ModelInfo& model,
                                         const PromptBuilder& prompts);

// What the numbers of a run with this complete configuration depend on.
absl::StatusOr<Provenance> DescribeProvenance(const RunConfig& config,
                                              const ModelInfo& model,
                                              const PromptBuilder& prompts);

}  // namespace kvrecall
