#pragma once

// What a run was asked to do, and everything that its numbers depend on.
// Plain values; copy freely.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/budget.h"
#include "common/record/gap_spec.h"
#include "common/record/policy_spec.h"
#include "common/record/scope.h"

namespace kvrecall {

// Number of the definitions in common/METRICS.md. It grows whenever the same
// input would give another number; runs of different versions are not mixed.
//   2: the sample key, which `random` and `@random` draw from, is of what the
//      text depends on only, not of the run's policies, scopes and budgets.
inline constexpr int kDefinitionsVersion = 2;

// What decides the next token.
enum class Force {
  kNone,  // the model
  kGold,  // the tokens of the sample's first answer, then one EOS
  kText,  // the tokens of the sample's forced_text, then one EOS
};

// "none", "gold" or "text".
std::string_view ForceName(Force force);

// InvalidArgument names the text and what there is.
absl::StatusOr<Force> ParseForce(std::string_view text);

// The request, as the client sent it and as the server completed it.
struct RunConfig {
  std::string task;  // name of a LongBench task, see common/longbench/task.h
  std::vector<PolicySpec> policies;
  std::vector<Scope> scopes;
  std::vector<Budget> budgets;
  int64_t max_new_tokens = 0;     // 0 in a request: the task's own
  int64_t max_prompt_tokens = 0;  // 0 in a request: from the model's window
  bool ignore_eos = false;        // generate max_new_tokens, whatever comes
  std::string chat_template;      // "auto", "none" or "chatml"
  std::vector<GapSpec> gaps;      // lanes of the entropy gap; may be empty
  Force force = Force::kNone;
  // Of task "custom" only, else empty: the fields of a sample in braces.
  std::string prompt_template;

  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};

// One combination that yields one recall per step.
struct Lane {
  int policy = 0;  // index into RunConfig::policies
  int scope = 0;   // index into RunConfig::scopes
  int budget = 0;  // index into RunConfig::budgets
};

// The most budgets of a run.
inline constexpr int kMaxBudgets = 16;

// All lanes of a run: by policy, then scope, then budget; without the scopes
// that a policy is not defined in. The recalls of a StepRecord stand in this
// order everywhere: in memory, on the wire, on disk.
std::vector<Lane> Lanes(const RunConfig& config);

// What produced the numbers, besides the request. Filled in by the server.
struct Provenance {
  int definitions_version = kDefinitionsVersion;
  std::string program_version;   // "0.1.0"
  std::string program_commit;    // git commit, or "unknown"
  std::string model;             // the name that the operator gave
  std::string model_digest;      // SHA-256 over config and weights
  std::string tokenizer_digest;  // SHA-256 of tokenizer.json
  std::string prompt_template;   // the task's template text
  std::string chat_template;     // its name and digest, or "none"
  std::string truncation;        // rule and limit in tokens
  std::string dtype;             // "float32" or "bfloat16"
  std::string device;            // "cpu", or the GPU's name
  int threads = 0;               // compute threads
  std::string libtorch;          // version
  std::string mode;              // "exact": one sample at a time
  int64_t prefill_chunk = 0;     // queries per prefill chunk
  std::string kernels;           // what computed: "avx512_bf16, oneDNN 2.6.3"
  // The run's policies, in their order, with every parameter written out:
  // "h2o(self=1)".
  std::vector<std::string> policies;

  friend bool operator==(const Provenance&, const Provenance&) = default;
};

}  // namespace kvrecall
