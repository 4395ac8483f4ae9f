#pragma once

// The defaults of a run. Thread-safe: no shared state.

#include <cstdint>

#include "absl/status/statusor.h"

#include "common/record/run_config.h"

namespace kvrecall {

// Fills in what the request left open, for a model that can attend
// `context_window` positions, and checks that prompt and answer fit into it:
//   policies h2o, random, oracle; scopes global, layer; budgets 0.1, 0.2, 0.3;
//   max_new_tokens the task's own; chat_template "auto"; max_prompt_tokens
//   min(31500, window − max_new_tokens − 512).
// Gap lanes must be of the run's policies, scopes and budgets, and get the
// run's spelling of their policies; each policy must be defined in one of the
// scopes. A forced text decides its own length:
// the request leaves max_new_tokens and ignore_eos alone, and the task's own
// max_new_tokens then only says how long prompts may be, so that they are the
// same with and without it.
// InvalidArgument names the field as "config.…".
absl::StatusOr<RunConfig> CompleteDefaults(RunConfig requested,
                                           int64_t context_window);

}  // namespace kvrecall
