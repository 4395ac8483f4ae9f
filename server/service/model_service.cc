#include "server/service/model_service.h"

#include <string>
#include <utility>

#include "common/longbench/task.h"
#include "common/record/run_config.h"
#include "server/service/unary_call.h"
#include "server/service/validate.h"

namespace kvrecall {
namespace {

const char* MetricName(Metric metric) {
  switch (metric) {
    case Metric::kQaF1:
      return "qa_f1";
  }
  return "unknown";
}

}  // namespace

ModelServiceImpl::ModelServiceImpl(v1::Model model, v1::ServerInfo info,
                                   RpcObserver* observer)
    : model_(std::move(model)), info_(std::move(info)), observer_(observer) {
  info_.set_definitions_version(kDefinitionsVersion);
  info_.set_max_samples_per_call(kMaxSamplesPerCall);
  info_.set_max_message_bytes(kMaxMessageBytes);
  info_.clear_tasks();
  for (const Task& task : AllTasks()) {
    v1::TaskInfo* entry = info_.add_tasks();
    entry->set_name(std::string(task.name));
    entry->set_max_new_tokens(task.max_new_tokens);
    entry->set_chat(task.chat);
    entry->set_metric(MetricName(task.metric));
  }
}

grpc::ServerUnaryReactor* ModelServiceImpl::GetModel(
    grpc::CallbackServerContext* context, const v1::GetModelRequest*,
    v1::Model* response) {
  const UnaryCall call(context, "GetModel", observer_);
  *response = model_;
  return call.Finish(absl::OkStatus());
}

grpc::ServerUnaryReactor* ModelServiceImpl::GetServerInfo(
    grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
    v1::ServerInfo* response) {
  const UnaryCall call(context, "GetServerInfo", observer_);
  *response = info_;
  return call.Finish(absl::OkStatus());
}

}  // namespace kvrecall
