#include "common/record/json.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/base/json_nesting.h"
#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/record/json_number.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

// The library reports a missing or mistyped field by an exception that names
// it; here it becomes a status.
template <typename Read>
absl::Status Guarded(std::string_view what, std::string_view text, Read read) {
  RETURN_IF_ERROR(CheckNesting(text));
  try {
    return read(Json::parse(text));
  } catch (const nlohmann::json::exception& e) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(what), ": ", OneLine(e.what())));
  }
}

}  // namespace

Json ConfigToJson(const RunConfig& config) {
  Json json;
  json["task"] = config.task;
  json["policies"] = Json::array();
  for (const PolicySpec& policy : config.policies)
    json["policies"].push_back(policy.ToString());
  json["scopes"] = Json::array();
  for (Scope scope : config.scopes)
    json["scopes"].push_back(std::string(ScopeName(scope)));
  json["budgets"] = Json::array();
  for (const Budget& budget : config.budgets)
    json["budgets"].push_back(budget.ToString());
  json["max_new_tokens"] = config.max_new_tokens;
  json["max_prompt_tokens"] = config.max_prompt_tokens;
  json["ignore_eos"] = config.ignore_eos;
  json["chat_template"] = config.chat_template;
  for (const GapSpec& gap : config.gaps) json["gaps"].push_back(gap.ToString());
  if (config.force != Force::kNone)
    json["force"] = std::string(ForceName(config.force));
  if (!config.prompt_template.empty())
    json["prompt_template"] = config.prompt_template;
  return json;
}

Json ProvenanceToJson(const Provenance& provenance) {
  Json json;
  json["definitions_version"] = provenance.definitions_version;
  json["program_version"] = provenance.program_version;
  json["program_commit"] = provenance.program_commit;
  json["model"] = provenance.model;
  json["model_digest"] = provenance.model_digest;
  json["tokenizer_digest"] = provenance.tokenizer_digest;
  json["prompt_template"] = provenance.prompt_template;
  json["chat_template"] = provenance.chat_template;
  json["truncation"] = provenance.truncation;
  json["dtype"] = provenance.dtype;
  json["device"] = provenance.device;
  json["threads"] = provenance.threads;
  json["libtorch"] = provenance.libtorch;
  json["mode"] = provenance.mode;
  json["prefill_chunk"] = provenance.prefill_chunk;
  json["policies"] = provenance.policies;
  json["kernels"] = provenance.kernels;
  return json;
}

absl::StatusOr<RunConfig> ConfigFromJson(std::string_view text) {
  RunConfig config;
  RETURN_IF_ERROR(
      Guarded("run configuration", text, [&](const Json& json) -> absl::Status {
        config.task = json.at("task");
        for (const std::string policy : json.at("policies")) {
          ASSIGN_OR_RETURN(PolicySpec spec, ParsePolicySpec(policy));
          config.policies.push_back(std::move(spec));
        }
        for (const std::string name : json.at("scopes")) {
          ASSIGN_OR_RETURN(Scope scope, ParseScope(name));
          config.scopes.push_back(scope);
        }
        for (const std::string budget : json.at("budgets")) {
          ASSIGN_OR_RETURN(Budget parsed, ParseBudget(budget));
          config.budgets.push_back(parsed);
        }
        config.max_new_tokens = WholeFrom(json.at("max_new_tokens"));
        config.max_prompt_tokens = WholeFrom(json.at("max_prompt_tokens"));
        config.ignore_eos = json.at("ignore_eos");
        config.chat_template = json.at("chat_template");
        for (const std::string lane : json.value("gaps", Json::array())) {
          ASSIGN_OR_RETURN(GapSpec gap, ParseGapSpec(lane));
          config.gaps.push_back(std::move(gap));
        }
        ASSIGN_OR_RETURN(config.force, ParseForce(json.value("force", "none")));
        config.prompt_template = json.value("prompt_template", "");
        return absl::OkStatus();
      }));
  return config;
}

absl::StatusOr<Provenance> ProvenanceFromJson(std::string_view text) {
  Provenance provenance;
  RETURN_IF_ERROR(Guarded("provenance", text, [&](const Json& json) {
    provenance.definitions_version =
        static_cast<int>(WholeFrom(json.at("definitions_version")));
    provenance.program_version = json.at("program_version");
    provenance.program_commit = json.at("program_commit");
    provenance.model = json.at("model");
    provenance.model_digest = json.at("model_digest");
    provenance.tokenizer_digest = json.at("tokenizer_digest");
    provenance.prompt_template = json.at("prompt_template");
    provenance.chat_template = json.at("chat_template");
    provenance.truncation = json.at("truncation");
    provenance.dtype = json.at("dtype");
    provenance.device = json.at("device");
    provenance.threads = static_cast<int>(WholeFrom(json.at("threads")));
    provenance.libtorch = json.at("libtorch");
    provenance.mode = json.at("mode");
    provenance.prefill_chunk = WholeFrom(json.at("prefill_chunk"));
    provenance.policies = json.at("policies").get<std::vector<std::string>>();
    // Not in databases that were written before it was recorded.
    provenance.kernels = json.value("kernels", "");
    return absl::OkStatus();
  }));
  return provenance;
}

}  // namespace kvrecall
