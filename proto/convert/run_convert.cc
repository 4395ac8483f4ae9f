#include "proto/convert/run_convert.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "proto/convert/field.h"
#include "proto/convert/record_convert.h"
#include "proto/convert/time_convert.h"

namespace kvrecall {
namespace {

absl::StatusOr<double> Ratio(double value, std::string_view field) {
  if (value > 0 && value <= 1) return value;
  return FieldError(field,
                    absl::StrCat(value, " is outside (0, 1]; 0.2 is a fifth"));
}

}  // namespace

v1::Scope ToProto(Scope scope) {
  switch (scope) {
    case Scope::kGlobal:
      return v1::SCOPE_GLOBAL;
    case Scope::kLayer:
      return v1::SCOPE_LAYER;
    case Scope::kHead:
      return v1::SCOPE_HEAD;
  }
  return v1::SCOPE_UNSPECIFIED;
}

absl::StatusOr<Scope> FromProto(v1::Scope scope, std::string_view field) {
  switch (scope) {
    case v1::SCOPE_GLOBAL:
      return Scope::kGlobal;
    case v1::SCOPE_LAYER:
      return Scope::kLayer;
    case v1::SCOPE_HEAD:
      return Scope::kHead;
    default:
      return FieldError(field, absl::StrCat("unknown scope ", scope,
                                            "; the scopes are SCOPE_GLOBAL, "
                                            "SCOPE_LAYER and SCOPE_HEAD"));
  }
}

v1::Force ToProto(Force force) {
  switch (force) {
    case Force::kNone:
      return v1::FORCE_NONE;
    case Force::kGold:
      return v1::FORCE_GOLD;
    case Force::kText:
      return v1::FORCE_TEXT;
  }
  return v1::FORCE_UNSPECIFIED;
}

absl::StatusOr<Force> FromProto(v1::Force force, std::string_view field) {
  switch (force) {
    case v1::FORCE_UNSPECIFIED:
    case v1::FORCE_NONE:
      return Force::kNone;
    case v1::FORCE_GOLD:
      return Force::kGold;
    case v1::FORCE_TEXT:
      return Force::kText;
    default:
      return FieldError(field,
                        absl::StrCat("unknown forced continuation ", force,
                                     "; there are FORCE_NONE, "
                                     "FORCE_GOLD and FORCE_TEXT"));
  }
}

v1::Budget ToProto(const Budget& budget) {
  v1::Budget message;
  switch (budget.kind) {
    case Budget::Kind::kCurrentRatio:
      message.set_current_ratio(budget.value);
      break;
    case Budget::Kind::kPromptRatio:
      message.set_prompt_ratio(budget.value);
      break;
    case Budget::Kind::kTokens:
      message.set_tokens(static_cast<int64_t>(budget.value));
      break;
  }
  return message;
}

absl::StatusOr<Budget> FromProto(const v1::Budget& message,
                                 std::string_view field) {
  Budget budget;
  switch (message.kind_case()) {
    case v1::Budget::kCurrentRatio: {
      budget.kind = Budget::Kind::kCurrentRatio;
      ASSIGN_OR_RETURN(budget.value, Ratio(message.current_ratio(),
                                           FieldPath(field, "current_ratio")));
      return budget;
    }
    case v1::Budget::kPromptRatio: {
      budget.kind = Budget::Kind::kPromptRatio;
      ASSIGN_OR_RETURN(budget.value, Ratio(message.prompt_ratio(),
                                           FieldPath(field, "prompt_ratio")));
      return budget;
    }
    case v1::Budget::kTokens:
      // Within what a double holds exactly, as ParseBudget has it.
      if (message.tokens() < 1 || message.tokens() > INT32_MAX)
        return FieldError(
            FieldPath(field, "tokens"),
            absl::StrCat(message.tokens(),
                         " is not a whole number of at least 1 (and below "
                         "2^31)"));
      budget.kind = Budget::Kind::kTokens;
      budget.value = static_cast<double>(message.tokens());
      return budget;
    case v1::Budget::KIND_NOT_SET:
      break;
  }
  return FieldError(FieldPath(field, "kind"),
                    "is not set; set current_ratio, prompt_ratio or tokens");
}

v1::RunConfig ToProto(const RunConfig& config) {
  v1::RunConfig message;
  message.set_task(config.task);
  for (const PolicySpec& policy : config.policies)
    message.add_policies(policy.ToString());
  for (Scope scope : config.scopes) message.add_scopes(ToProto(scope));
  for (const Budget& budget : config.budgets)
    *message.add_budgets() = ToProto(budget);
  message.set_max_new_tokens(config.max_new_tokens);
  message.set_max_prompt_tokens(config.max_prompt_tokens);
  message.set_ignore_eos(config.ignore_eos);
  message.set_chat_template(config.chat_template);
  for (const GapSpec& gap : config.gaps) message.add_gaps(gap.ToString());
  message.set_force(ToProto(config.force));
  message.set_prompt_template(config.prompt_template);
  return message;
}

absl::StatusOr<RunConfig> FromProto(const v1::RunConfig& message,
                                    std::string_view field) {
  RunConfig config;
  config.task = message.task();
  for (int i = 0; i < message.policies_size(); ++i) {
    absl::StatusOr<PolicySpec> policy = ParsePolicySpec(message.policies(i));
    if (!policy.ok())
      return FieldError(FieldPath(field, "policies", i),
                        std::string(policy.status().message()));
    config.policies.push_back(*std::move(policy));
  }
  for (int i = 0; i < message.scopes_size(); ++i) {
    ASSIGN_OR_RETURN(Scope scope, FromProto(message.scopes(i),
                                            FieldPath(field, "scopes", i)));
    config.scopes.push_back(scope);
  }
  for (int i = 0; i < message.budgets_size(); ++i) {
    ASSIGN_OR_RETURN(Budget budget, FromProto(message.budgets(i),
                                              FieldPath(field, "budgets", i)));
    config.budgets.push_back(budget);
  }
  config.max_new_tokens = message.max_new_tokens();
  config.max_prompt_tokens = message.max_prompt_tokens();
  config.ignore_eos = message.ignore_eos();
  config.chat_template = message.chat_template();
  for (int i = 0; i < message.gaps_size(); ++i) {
    absl::StatusOr<GapSpec> gap = ParseGapSpec(message.gaps(i));
    if (!gap.ok())
      return FieldError(FieldPath(field, "gaps", i),
                        std::string(gap.status().message()));
    config.gaps.push_back(*std::move(gap));
  }
  ASSIGN_OR_RETURN(config.force,
                   FromProto(message.force(), FieldPath(field, "force")));
  config.prompt_template = message.prompt_template();
  return config;
}

v1::Provenance ToProto(const Provenance& provenance) {
  v1::Provenance message;
  message.set_definitions_version(provenance.definitions_version);
  message.set_program_version(provenance.program_version);
  message.set_program_commit(provenance.program_commit);
  message.set_model(provenance.model);
  message.set_model_digest(provenance.model_digest);
  message.set_tokenizer_digest(provenance.tokenizer_digest);
  message.set_prompt_template(provenance.prompt_template);
  message.set_chat_template(provenance.chat_template);
  message.set_truncation(provenance.truncation);
  message.set_dtype(provenance.dtype);
  message.set_device(provenance.device);
  message.set_threads(provenance.threads);
  message.set_libtorch(provenance.libtorch);
  message.set_mode(provenance.mode);
  message.set_prefill_chunk(provenance.prefill_chunk);
  message.set_kernels(provenance.kernels);
  for (const std::string& policy : provenance.policies)
    message.add_policies(policy);
  return message;
}

Provenance FromProto(const v1::Provenance& message) {
  Provenance provenance;
  provenance.definitions_version = message.definitions_version();
  provenance.program_version = message.program_version();
  provenance.program_commit = message.program_commit();
  provenance.model = message.model();
  provenance.model_digest = message.model_digest();
  provenance.tokenizer_digest = message.tokenizer_digest();
  provenance.prompt_template = message.prompt_template();
  provenance.chat_template = message.chat_template();
  provenance.truncation = message.truncation();
  provenance.dtype = message.dtype();
  provenance.device = message.device();
  provenance.threads = message.threads();
  provenance.libtorch = message.libtorch();
  provenance.mode = message.mode();
  provenance.prefill_chunk = message.prefill_chunk();
  provenance.kernels = message.kernels();
  provenance.policies.assign(message.policies().begin(),
                             message.policies().end());
  return provenance;
}

v1::Run ToProto(const RunInfo& run) {
  v1::Run message;
  message.set_run_id(run.run_id);
  message.set_state(ToProto(run.state));
  *message.mutable_config() = ToProto(run.config);
  *message.mutable_provenance() = ToProto(run.provenance);
  message.set_samples_submitted(run.samples_submitted);
  message.set_samples_done(run.samples_done);
  message.set_samples_failed(run.samples_failed);
  message.set_complete(run.complete);
  message.set_last_sequence(run.last_sequence);
  message.set_owner(run.owner);
  *message.mutable_create_time() = ToTimestamp(run.create_time);
  if (run.end_time) *message.mutable_end_time() = ToTimestamp(*run.end_time);
  if (run.deadline) *message.mutable_deadline() = ToTimestamp(*run.deadline);
  message.set_held(run.held);
  return message;
}

absl::StatusOr<RunInfo> FromProto(const v1::Run& message,
                                  std::string_view field) {
  RunInfo run;
  run.run_id = message.run_id();
  ASSIGN_OR_RETURN(run.state,
                   FromProto(message.state(), FieldPath(field, "state")));
  ASSIGN_OR_RETURN(run.config,
                   FromProto(message.config(), FieldPath(field, "config")));
  run.provenance = FromProto(message.provenance());
  run.samples_submitted = message.samples_submitted();
  run.samples_done = message.samples_done();
  run.samples_failed = message.samples_failed();
  run.complete = message.complete();
  run.last_sequence = message.last_sequence();
  run.owner = message.owner();
  run.create_time = FromTimestamp(message.create_time());
  if (message.has_end_time()) run.end_time = FromTimestamp(message.end_time());
  if (message.has_deadline()) run.deadline = FromTimestamp(message.deadline());
  run.held = message.held();
  return run;
}

}  // namespace kvrecall
