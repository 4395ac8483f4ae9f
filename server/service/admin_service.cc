#include "server/service/admin_service.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "proto/convert/field.h"
#include "proto/convert/time_convert.h"
#include "server/log.h"
#include "server/service/unary_call.h"
#include "server/service/validate.h"

namespace kvrecall {
namespace {

// Who did it, for the log.
std::string NameOf(const UnaryCall& call) {
  const std::string& name = call.caller().name;
  return name.empty() ? "somebody" : name;
}

absl::Status ReadStatus(const AdminContext& context, bool draining,
                        v1::ServerStatus* response) {
  ASSIGN_OR_RETURN(const StoreStatus status, context.store->GetStatus());
  response->set_draining(draining);
  response->set_runs(status.runs);
  if (status.oldest_run)
    *response->mutable_oldest_run_time() = ToTimestamp(*status.oldest_run);
  response->set_runs_being_deleted(status.runs_being_deleted);
  response->set_samples_waiting(status.samples_waiting);
  response->set_samples_held(status.samples_held);
  response->set_samples_running(status.samples_running);
  response->set_max_samples(status.max_open_samples);
  response->set_open_streams(context.hub->open());
  response->set_database_bytes(status.database_bytes);
  response->set_used_bytes(status.used_bytes);
  response->set_max_used_bytes(status.max_used_bytes);
  response->set_log_bytes(status.log_bytes);
  response->set_free_disk_bytes(status.free_disk_bytes);
  response->set_min_free_disk_bytes(status.min_free_bytes);
  if (status.keep != absl::InfiniteDuration())
    *response->mutable_keep() = ToProto(status.keep);
  return absl::OkStatus();
}

// What is wrong with the path was found out by trying. Other codes of the file
// system's would say something of runs and tokens.
absl::Status BackupError(const absl::Status& status, bool stopping) {
  if (absl::IsInvalidArgument(status))
    return FieldError("path", std::string(status.message()));
  if (absl::IsNotFound(status) || absl::IsPermissionDenied(status) ||
      absl::IsFailedPrecondition(status))
    return absl::InternalError(status.message());
  if (absl::IsCancelled(status) && stopping)
    return WithReason(absl::UnavailableError("the server is shutting down; the "
                                             "backup was given up"),
                      "DRAINING");
  return status;
}

}  // namespace

AdminServiceImpl::AdminServiceImpl(AdminContext context, const RpcGate& gate)
    : context_(std::move(context)), gate_(gate) {}

grpc::ServerUnaryReactor* AdminServiceImpl::GetStatus(
    grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
    v1::ServerStatus* response) {
  const UnaryCall call(context, "GetStatus", gate_);
  if (!call.admitted().ok()) return call.Finish(call.admitted());
  context_.executor->Post([this, call, response] {
    call.Finish(ReadStatus(context_, draining_, response));
  });
  return call.reactor();
}

grpc::ServerUnaryReactor* AdminServiceImpl::DeleteRun(
    grpc::CallbackServerContext* context, const v1::DeleteRunRequest* request,
    v1::DeleteRunResponse* response) {
  const UnaryCall call(context, "DeleteRun", gate_);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = CheckRunId(request->run_id());
  if (!bad.ok()) return call.Finish(bad);
  context_.store->DeleteRun(
      request->run_id(),
      [call, request, response](const absl::StatusOr<DeletedRun>& deleted) {
        if (deleted.ok()) {
          LogFields about = call.log_fields();
          about.run = request->run_id();
          const LogScope scope(about);
          spdlog::info("run {}: deleted by {}, with {} events",
                       request->run_id(), NameOf(call), deleted->events);
          response->set_samples(deleted->samples);
          response->set_events(deleted->events);
        }
        call.Finish(deleted.status());
      });
  return call.reactor();
}

grpc::ServerUnaryReactor* AdminServiceImpl::Backup(
    grpc::CallbackServerContext* context, const v1::BackupRequest* request,
    v1::BackupResponse* response) {
  const UnaryCall call(context, "Backup", gate_);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = CheckBackupPath(request->path());
  if (!bad.ok()) return call.Finish(bad);
  context_.backup_executor->Post([this, context, call, request, response] {
    const LogScope scope(call.log_fields());
    const auto stop = [this, context] {
      return stopping_ || context->IsCancelled();
    };
    // It may have waited long for another.
    const absl::StatusOr<int64_t> bytes =
        stop() ? absl::CancelledError("the client has gone")
               : context_.store->Backup(request->path(), stop);
    if (bytes.ok()) response->set_bytes(*bytes);
    call.Finish(bytes.ok() ? absl::OkStatus()
                           : BackupError(bytes.status(), stopping_));
  });
  return call.reactor();
}

grpc::ServerUnaryReactor* AdminServiceImpl::Checkpoint(
    grpc::CallbackServerContext* context, const v1::CheckpointRequest*,
    v1::CheckpointResponse* response) {
  const UnaryCall call(context, "Checkpoint", gate_);
  if (!call.admitted().ok()) return call.Finish(call.admitted());
  context_.store->Checkpoint(
      [call, response](const absl::StatusOr<CheckpointReply>& reply) {
        if (reply.ok()) {
          response->set_bytes_before(reply->bytes_before);
          response->set_bytes_after(reply->bytes_after);
        }
        call.Finish(reply.status());
      });
  return call.reactor();
}

grpc::ServerUnaryReactor* AdminServiceImpl::Drain(
    grpc::CallbackServerContext* context, const v1::DrainRequest* request,
    v1::DrainResponse*) {
  const UnaryCall call(context, "Drain", gate_);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = CheckText("reason", request->reason(), 1, 200);
  if (bad.ok() && context_.request_drain == nullptr)
    bad = absl::UnimplementedError("this server cannot be drained by a call");
  if (!bad.ok()) return call.Finish(bad);
  const LogScope scope(call.log_fields());
  spdlog::info("drain asked for by {}: {}", NameOf(call),
               absl::Utf8SafeCHexEscape(request->reason()));
  // The request goes with the answer.
  grpc::ServerUnaryReactor* const reactor = call.Finish(absl::OkStatus());
  context_.request_drain();
  return reactor;
}

}  // namespace kvrecall
