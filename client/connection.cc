#include "client/connection.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "client/tls_diagnosis.h"
#include "common/base/status_macros.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "proto/convert/error_convert.h"
#include "proto/convert/record_convert.h"
#include "proto/convert/run_convert.h"
#include "proto/convert/time_convert.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(60);
constexpr int kRunsPerPage = 200;
constexpr int kEventsPerPage = 500;
// Pages of records with a recall per layer are larger than gRPC's default.
constexpr int kMaxReceiveBytes = 256 << 20;

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(
    const ServerTarget& target) {
  if (!target.is_encrypted) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = target.authorities;
  options.pem_cert_chain = target.certificate;
  options.pem_private_key = target.key;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> MakeChannel(const ServerTarget& target) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  // A server is named by the user; a web proxy has no part in it.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A server that vanished without a word is noticed, also while nothing is
  // sent.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A server that is started a moment later is found at once.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  return grpc::CreateCustomChannel(target.address, MakeCredentials(target),
                                   arguments);
}

}  // namespace

absl::StatusOr<Connection> Connect(const ServerChoice& server) {
  ASSIGN_OR_RETURN(ServerTarget target, ReadTarget(server));
  return Connection(std::move(target));
}

Connection::Connection(ServerTarget target)
    : target_(std::move(target)),
      channel_(MakeChannel(target_)),
      runs_(v1::RunService::NewStub(channel_)),
      models_(v1::ModelService::NewStub(channel_)),
      admin_(v1::AdminService::NewStub(channel_)) {}

void Connection::Identify(grpc::ClientContext& context) const {
  if (!target_.token.empty())
    context.AddMetadata("authorization",
                        absl::StrCat("Bearer ", target_.token));
  if (!target_.user.empty()) context.AddMetadata("kvrecall-user", target_.user);
}

bool Connection::WaitUntilConnected(absl::Duration longest) const {
  return channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + longest));
}

void Connection::Prepare(grpc::ClientContext& context,
                         absl::Duration timeout) const {
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  Identify(context);
}

absl::Status Connection::ToStatus(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  // An UNAVAILABLE that no server sent comes from the channel; the server's
  // own carry details.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      status.error_details().empty() &&
      channel_->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY) {
    if (const std::optional<std::string> why = DiagnoseTls(target_))
      return absl::FailedPreconditionError(*why);
    return absl::UnavailableError(
        absl::StrCat("no server at ", target_.address,
                     "; start one with kvrecall-server or set --server"));
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the server at ", target_.address, " did not answer in time"));
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return absl::UnimplementedError(absl::StrCat(
        "the server at ", target_.address,
        " does not know this call: is it a kvrecall-server of this version?"));
  }
  // gRPC's codes are Abseil's. One line, whatever the server wrote.
  std::string message = status.error_message();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return WithErrorDetails(
      absl::Status(static_cast<absl::StatusCode>(status.error_code()), message),
      status.error_details());
}

absl::StatusOr<v1::ServerInfo> Connection::GetServerInfo(
    absl::Duration timeout) const {
  grpc::ClientContext context;
  Prepare(context, timeout);
  v1::ServerInfo response;
  RETURN_IF_ERROR(ToStatus(models_->GetServerInfo(&context, {}, &response)));
  return response;
}

absl::StatusOr<bool> Connection::IsServing(absl::Duration timeout) const {
  namespace health = grpc::health::v1;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  health::HealthCheckResponse response;
  RETURN_IF_ERROR(ToStatus(
      health::Health::NewStub(channel_)->Check(&context, {}, &response)));
  return response.status() == health::HealthCheckResponse::SERVING;
}

absl::StatusOr<RunInfo> Connection::CreateRun(const std::string& request_id,
                                              const RunConfig& config,
                                              bool reuse_records,
                                              absl::Duration time_limit) const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::CreateRunRequest request;
  request.set_request_id(request_id);
  *request.mutable_config() = ToProto(config);
  request.set_reuse_records(reuse_records);
  if (time_limit != absl::InfiniteDuration())
    *request.mutable_time_limit() = ToProto(time_limit);
  v1::Run response;
  RETURN_IF_ERROR(ToStatus(runs_->CreateRun(&context, request, &response)));
  return FromProto(response);
}

absl::StatusOr<RunInfo> Connection::GetRun(const std::string& run_id) const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::GetRunRequest request;
  request.set_run_id(run_id);
  v1::Run response;
  RETURN_IF_ERROR(ToStatus(runs_->GetRun(&context, request, &response)));
  return FromProto(response);
}

absl::StatusOr<std::vector<RunInfo>> Connection::ListRuns(int64_t limit) const {
  std::vector<RunInfo> runs;
  v1::ListRunsRequest request;
  do {
    request.set_page_size(static_cast<int32_t>(std::min<int64_t>(
        limit - static_cast<int64_t>(runs.size()), kRunsPerPage)));
    grpc::ClientContext context;
    Prepare(context, kCallTimeout);
    v1::ListRunsResponse response;
    RETURN_IF_ERROR(ToStatus(runs_->ListRuns(&context, request, &response)));
    for (const v1::Run& message : response.runs()) {
      ASSIGN_OR_RETURN(RunInfo run, FromProto(message));
      runs.push_back(std::move(run));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty() &&
           static_cast<int64_t>(runs.size()) < limit);
  return runs;
}

absl::StatusOr<RunInfo> Connection::CancelRun(const std::string& run_id) const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::CancelRunRequest request;
  request.set_run_id(run_id);
  v1::Run response;
  RETURN_IF_ERROR(ToStatus(runs_->CancelRun(&context, request, &response)));
  return FromProto(response);
}

absl::StatusOr<v1::SubmitSamplesResponse> Connection::SubmitSamples(
    const v1::SubmitSamplesRequest& request) const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::SubmitSamplesResponse response;
  RETURN_IF_ERROR(ToStatus(runs_->SubmitSamples(&context, request, &response)));
  return response;
}

absl::Status Connection::ReadRecords(
    const std::string& run_id, int64_t last_sequence,
    const std::function<absl::Status(const Event&)>& visit) const {
  v1::ListRecordsRequest request;
  request.set_run_id(run_id);
  request.set_page_size(kEventsPerPage);
  int64_t read = 0;
  while (read < last_sequence) {
    request.set_after_sequence(read);
    grpc::ClientContext context;
    Prepare(context, kCallTimeout);
    v1::ListRecordsResponse response;
    RETURN_IF_ERROR(ToStatus(runs_->ListRecords(&context, request, &response)));
    for (const v1::Event& message : response.events()) {
      if (read == last_sequence) return absl::OkStatus();
      if (message.sequence() != read + 1) {
        return absl::DataLossError(
            absl::StrCat("run ", run_id, ": event ", read + 1, " is missing"));
      }
      ASSIGN_OR_RETURN(const Event event, FromProto(message));
      RETURN_IF_ERROR(visit(event));
      read = event.sequence;
    }
    if (response.events().empty()) {
      return absl::DataLossError(absl::StrCat("run ", run_id, " has ",
                                              last_sequence,
                                              " events, but the server "
                                              "gave only ",
                                              read));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ExportedFile> Connection::ExportRun(
    const std::string& run_id,
    const std::function<absl::Status(const std::string&)>& visit) const {
  grpc::ClientContext context;
  Identify(context);
  v1::ExportRunRequest request;
  request.set_run_id(run_id);
  const auto reader = runs_->ExportRun(&context, request);
  ExportedFile file;
  absl::Status visited;
  for (v1::ExportRunResponse chunk; visited.ok() && reader->Read(&chunk);) {
    if (!chunk.data().empty()) visited = visit(chunk.data());
    file.size = chunk.size();
    file.digest = chunk.digest();
  }
  if (!visited.ok()) context.TryCancel();
  const grpc::Status status = reader->Finish();
  RETURN_IF_ERROR(visited);
  RETURN_IF_ERROR(ToStatus(status));
  if (file.digest.empty())
    return absl::DataLossError(
        absl::StrCat("run ", run_id, ": the server sent no digest"));
  return file;
}

absl::StatusOr<v1::TokenizeResponse> Connection::Tokenize(
    const std::string& text) const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::TokenizeRequest request;
  request.set_text(text);
  v1::TokenizeResponse response;
  RETURN_IF_ERROR(ToStatus(models_->Tokenize(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::ServerStatus> Connection::GetStatus() const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::ServerStatus response;
  RETURN_IF_ERROR(ToStatus(admin_->GetStatus(&context, {}, &response)));
  return response;
}

absl::StatusOr<v1::DeleteRunResponse> Connection::DeleteRun(
    const std::string& run_id) const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::DeleteRunRequest request;
  request.set_run_id(run_id);
  v1::DeleteRunResponse response;
  RETURN_IF_ERROR(ToStatus(admin_->DeleteRun(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::BackupResponse> Connection::Backup(
    const std::string& path) const {
  grpc::ClientContext context;
  Identify(context);
  v1::BackupRequest request;
  request.set_path(path);
  v1::BackupResponse response;
  RETURN_IF_ERROR(ToStatus(admin_->Backup(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::CheckpointResponse> Connection::Checkpoint() const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::CheckpointResponse response;
  RETURN_IF_ERROR(ToStatus(admin_->Checkpoint(&context, {}, &response)));
  return response;
}

absl::Status Connection::Drain(const std::string& reason) const {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  v1::DrainRequest request;
  request.set_reason(reason);
  v1::DrainResponse response;
  return ToStatus(admin_->Drain(&context, request, &response));
}

}  // namespace kvrecall
