#include "server/service/model_service.h"

#include <string>
#include <utility>

#include "common/longbench/task.h"
#include "common/record/policy_catalog.h"
#include "common/record/run_config.h"
#include "server/service/unary_call.h"
#include "server/service/validate.h"

namespace kvrecall {
namespace {

v1::PolicyParameter::Rule RuleOf(NumberRule rule) {
  switch (rule) {
    case NumberRule::kAny:
      return v1::PolicyParameter::RULE_ANY;
    case NumberRule::kWhole:
      return v1::PolicyParameter::RULE_WHOLE;
    case NumberRule::kOdd:
      return v1::PolicyParameter::RULE_ODD;
  }
  return v1::PolicyParameter::RULE_UNSPECIFIED;
}

void FillParameter(const PolicyParameter& parameter,
                   v1::PolicyParameter* message) {
  message->set_name(std::string(parameter.name));
  message->set_default_value(parameter.fallback);
  message->set_least(parameter.least);
  message->set_most(parameter.most);
  message->set_rule(RuleOf(parameter.rule));
  message->set_summary(std::string(parameter.summary));
}

void FillCatalog(v1::ServerInfo* info) {
  info->clear_policies();
  for (const PolicyEntry& policy : AllPolicies()) {
    v1::PolicyInfo* entry = info->add_policies();
    entry->set_name(std::string(policy.name));
    entry->set_summary(std::string(policy.summary));
    entry->set_source(std::string(policy.source));
    for (const PolicyParameter& parameter : policy.parameters)
      FillParameter(parameter, entry->add_parameters());
    entry->set_irreversible(policy.irreversible);
    entry->set_per_layer(policy.per_layer);
  }
  info->clear_triggers();
  for (const TriggerEntry& trigger : AllTriggers()) {
    v1::TriggerInfo* entry = info->add_triggers();
    entry->set_name(std::string(trigger.name));
    entry->set_summary(std::string(trigger.summary));
    FillParameter(trigger.value, entry->mutable_value());
  }
}

}  // namespace

ModelServiceImpl::ModelServiceImpl(v1::Model model, v1::ServerInfo info,
                                   TokenizeFunction tokenize,
                                   ReadExecutor* executor, const RpcGate& gate)
    : model_(std::move(model)),
      info_(std::move(info)),
      tokenize_(std::move(tokenize)),
      executor_(executor),
      gate_(gate) {
  info_.set_definitions_version(kDefinitionsVersion);
  info_.set_max_samples_per_call(kMaxSamplesPerCall);
  info_.set_max_message_bytes(kMaxMessageBytes);
  info_.clear_tasks();
  for (const Task& task : AllTasks()) {
    v1::TaskInfo* entry = info_.add_tasks();
    entry->set_name(std::string(task.name));
    entry->set_max_new_tokens(task.max_new_tokens);
    entry->set_chat(task.chat);
    entry->set_metric(std::string(MetricName(task.metric)));
  }
  FillCatalog(&info_);
}

grpc::ServerUnaryReactor* ModelServiceImpl::GetModel(
    grpc::CallbackServerContext* context, const v1::GetModelRequest*,
    v1::Model* response) {
  const UnaryCall call(context, "GetModel", gate_);
  if (call.admitted().ok()) *response = model_;
  return call.Finish(call.admitted());
}

grpc::ServerUnaryReactor* ModelServiceImpl::GetServerInfo(
    grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
    v1::ServerInfo* response) {
  const UnaryCall call(context, "GetServerInfo", gate_);
  if (call.admitted().ok()) *response = info_;
  return call.Finish(call.admitted());
}

grpc::ServerUnaryReactor* ModelServiceImpl::Tokenize(
    grpc::CallbackServerContext* context, const v1::TokenizeRequest* request,
    v1::TokenizeResponse* response) {
  const UnaryCall call(context, "Tokenize", gate_);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = CheckTokenize(*request);
  if (!bad.ok()) return call.Finish(bad);
  executor_->Post([this, call, request, response] {
    TokenizedText text =
        tokenize_(request->text(), request->add_special_tokens());
    response->mutable_token_ids()->Add(text.ids.begin(), text.ids.end());
    for (std::string& token : text.tokens)
      response->add_tokens(std::move(token));
    call.Finish(absl::OkStatus());
  });
  return call.reactor();
}

}  // namespace kvrecall
