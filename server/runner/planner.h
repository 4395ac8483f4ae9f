#pragma once

// What a request's numbers will depend on, worked out before anything runs.
// Thread-safe.

#include "absl/status/statusor.h"

#include "common/record/run_config.h"
#include "server/engine/model.h"
#include "server/runner/prompt_builder.h"

namespace kvrecall {

// What the numbers of a run depend on besides its request, whose fields must
// all be set. Checks the policies and the chat template on the way:
// InvalidArgument names the field.
absl::StatusOr<Provenance> DescribeProvenance(const RunConfig& config,
                                              const ModelInfo& model,
                                              const PromptBuilder& prompts);

}  // namespace kvrecall
