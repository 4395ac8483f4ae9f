#include "server/service/run_service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

#include "common/base/digest.h"
#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "common/record/json.h"
#include "proto/convert/record_convert.h"
#include "proto/convert/run_convert.h"
#include "proto/convert/sample_convert.h"
#include "proto/convert/time_convert.h"
#include "server/log.h"
#include "server/service/admission.h"
#include "server/service/call_end.h"
#include "server/service/defaults.h"
#include "server/service/raw_message.h"
#include "server/service/submission.h"
#include "server/service/unary_call.h"
#include "server/service/validate.h"

namespace kvrecall {
namespace {

// Bytes of one page of records: below the 4 MiB that a client accepts by
// default.
constexpr size_t kBytesPerPage = 2 << 20;

// Writes a run into the response, or passes the error on.
absl::Status Answer(const absl::StatusOr<RunInfo>& run, v1::Run* response) {
  RETURN_IF_ERROR(run.status());
  *response = ToProto(*run);
  return absl::OkStatus();
}

// What tells two requests apart that have the same id. A request without a time
// limit has the digest that it had before there were any.
std::string BodyDigest(const RunConfig& requested, absl::Duration time_limit) {
  std::string body = ConfigToJson(requested).dump();
  if (time_limit != absl::InfiniteDuration())
    absl::StrAppend(&body, "\n", absl::ToInt64Nanoseconds(time_limit));
  return Sha256Hex(body);
}

absl::Status ReadRuns(Store* store, int page_size,
                      const std::string& page_token,
                      v1::ListRunsResponse* response) {
  ASSIGN_OR_RETURN(const auto page, store->ListRuns(page_size, page_token));
  for (const RunInfo& run : page.first) *response->add_runs() = ToProto(run);
  response->set_next_page_token(page.second);
  return absl::OkStatus();
}

absl::Status ReadRecords(Store* store, const v1::ListRecordsRequest& request,
                         int page_size, v1::ListRecordsResponse* response) {
  ASSIGN_OR_RETURN(
      const std::vector<Event> events,
      store->ReadAfter(request.run_id(), request.after_sequence(), page_size));
  // After the events, so that it is never below the last of them.
  ASSIGN_OR_RETURN(const RunInfo run, store->GetRun(request.run_id()));
  response->set_last_sequence(run.last_sequence);
  size_t bytes = 0;
  for (const Event& event : events) {
    v1::Event message = ToProto(event);
    bytes += message.ByteSizeLong();
    if (response->events_size() > 0 && bytes > kBytesPerPage) break;
    *response->add_events() = std::move(message);
  }
  return absl::OkStatus();
}

v1::SubmitSamplesResponse::Outcome ToProto(SubmitOutcome outcome) {
  switch (outcome) {
    case SubmitOutcome::kAccepted:
      return v1::SubmitSamplesResponse::OUTCOME_ACCEPTED;
    case SubmitOutcome::kDuplicate:
      return v1::SubmitSamplesResponse::OUTCOME_DUPLICATE;
    case SubmitOutcome::kQueueFull:
      return v1::SubmitSamplesResponse::OUTCOME_QUEUE_FULL;
  }
  return v1::SubmitSamplesResponse::OUTCOME_UNSPECIFIED;
}

// Fills in what the store said of the samples that it was given, which are
// those not yet refused, in order.
void FillOutcomes(const SubmitReply& reply,
                  v1::SubmitSamplesResponse* response) {
  size_t next = 0;
  bool is_full = false;
  for (auto& result : *response->mutable_results()) {
    if (result.outcome() != v1::SubmitSamplesResponse::OUTCOME_UNSPECIFIED)
      continue;
    const SubmitOutcome outcome = reply.outcomes.at(next++);
    result.set_outcome(ToProto(outcome));
    is_full |= outcome == SubmitOutcome::kQueueFull;
  }
  if (!is_full) return;
  const int64_t milliseconds = absl::ToInt64Milliseconds(reply.retry_after);
  response->mutable_retry_delay()->set_seconds(milliseconds / 1000);
  response->mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(milliseconds % 1000) * 1'000'000);
}

// A run that the caller may change: its owner's and the administrators' alone.
// Where nobody is asked who he is, everyone is one of these.
absl::StatusOr<RunInfo> OwnRun(Store* store, const std::string& run_id,
                               const Caller& caller) {
  absl::StatusOr<RunInfo> run = store->GetRun(run_id);
  if (!run.ok() || caller.scope == AccessScope::kAdmin ||
      run->owner == caller.name)
    return run;
  return absl::PermissionDeniedError(absl::StrCat(
      "run '", run_id, "' was made by someone else (or it might not exist)"));
}
// One call of SubmitSamples, and where its answer goes.
struct Submission {
  v1::SubmitSamplesRequest request;
  v1::SubmitSamplesResponse response;
  grpc::ByteBuffer* bytes = nullptr;  // gRPC's, until the call is finished

  // Answers the call, whose response is complete where `status` is OK.
  grpc::ServerUnaryReactor* Finish(const UnaryCall& call,
                                   const absl::Status& status) {
    if (status.ok()) {
      for (const auto& result : response.results())
        call.observer().OnAdmission(AdmissionOf(result.outcome()), 1);
      *bytes = ToBytes(response);
    } else {
      call.observer().OnAdmission(AdmissionOf(status), request.samples_size());
    }
    return call.Finish(status);
  }
};

// Hands the samples that can be run to the store, and answers the call for all
// of them. What a sample needs depends on its run, so this reads the store.
void Submit(Store* store, const UnaryCall& call,
            const std::shared_ptr<Submission>& submission) {
  const v1::SubmitSamplesRequest& request = submission->request;
  const absl::StatusOr<RunInfo> run =
      OwnRun(store, request.run_id(), call.caller());
  if (!run.ok()) {
    submission->Finish(call, run.status());
    return;
  }
  std::vector<Sample> samples;
  for (int i = 0; i < request.samples_size(); ++i) {
    const v1::Sample& sample = request.samples(i);
    auto* result = submission->response.add_results();
    result->set_sample_id(sample.sample_id());
    if (auto why = WhyRefused(sample, i, run->config)) {
      result->set_outcome(v1::SubmitSamplesResponse::OUTCOME_REFUSED);
      result->set_message(*std::move(why));
    } else {
      samples.push_back(FromProto(sample));
    }
  }
  store->SubmitSamples(
      request.run_id(), std::move(samples), request.complete(),
      [call, submission](const absl::StatusOr<SubmitReply>& reply) {
        if (reply.ok()) FillOutcomes(*reply, &submission->response);
        submission->Finish(call, reply.status());
      });
}

absl::Status Draining() {
  return WithReason(
      absl::UnavailableError("the server is shutting down and takes no new "
                             "work; try again later"),
      "DRAINING");
}

// A stream that is refused before it begins.
template <typename Message>
class RefusedStream final : public grpc::ServerWriteReactor<Message> {
 public:
  explicit RefusedStream(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

template <typename Message>
grpc::ServerWriteReactor<Message>* Refuse(const LogFields& call,
                                          const absl::Status& why,
                                          RpcObserver& observer) {
  return new RefusedStream<Message>(EndCall(call, why, observer));
}

}  // namespace

RunServiceImpl::RunServiceImpl(const WatchContext& context,
                               const ExportContext& exports,
                               RunPlanner* planner, const RpcGate& gate,
                               int64_t context_window)
    : context_(context),
      exports_(exports),
      planner_(planner),
      gate_(gate),
      context_window_(context_window) {}

absl::Status RunServiceImpl::CheckNotDraining() const {
  return draining_ ? Draining() : absl::OkStatus();
}

absl::StatusOr<NewRun> RunServiceImpl::PlanRun(
    const v1::CreateRunRequest& request) const {
  RETURN_IF_ERROR(CheckNotDraining());
  RETURN_IF_ERROR(CheckNewRun(request));
  ASSIGN_OR_RETURN(RunConfig requested, FromProto(request.config()));
  NewRun run;
  run.request_id = request.request_id();
  if (request.has_time_limit())
    run.time_limit = FromProto(request.time_limit());
  // Of the request as it came: it is the same whatever the defaults are when
  // it comes again.
  run.body_digest = BodyDigest(requested, run.time_limit);
  ASSIGN_OR_RETURN(RunConfig config,
                   CompleteDefaults(std::move(requested), context_window_));
  ASSIGN_OR_RETURN(Plan plan, planner_->Complete(std::move(config)));
  run.may_reuse = request.reuse_records();
  run.config = std::move(plan.config);
  run.provenance = std::move(plan.provenance);
  return run;
}

grpc::ServerUnaryReactor* RunServiceImpl::CreateRun(
    grpc::CallbackServerContext* context, const v1::CreateRunRequest* request,
    v1::Run* response) {
  const UnaryCall call(context, "CreateRun", gate_);
  if (!call.admitted().ok()) return call.Finish(call.admitted());
  absl::StatusOr<NewRun> run = PlanRun(*request);
  if (!run.ok()) return call.Finish(run.status());
  run->owner = call.caller().name;
  context_.store->CreateRun(
      *std::move(run), [call, response](absl::StatusOr<RunInfo> created) {
        if (created.ok()) {
          LogFields about = call.log_fields();
          about.run = created->run_id;
          const LogScope scope(about);
          spdlog::info("run {}: {}", created->run_id, created->config.task);
        }
        call.Finish(Answer(created, response));
      });
  return call.reactor();
}

grpc::ServerUnaryReactor* RunServiceImpl::GetRun(
    grpc::CallbackServerContext* context, const v1::GetRunRequest* request,
    v1::Run* response) {
  const UnaryCall call(context, "GetRun", gate_);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = CheckRunId(request->run_id());
  if (!bad.ok()) return call.Finish(bad);
  context_.executor->Post([call, request, response, store = context_.store] {
    call.Finish(Answer(store->GetRun(request->run_id()), response));
  });
  return call.reactor();
}

grpc::ServerUnaryReactor* RunServiceImpl::ListRuns(
    grpc::CallbackServerContext* context, const v1::ListRunsRequest* request,
    v1::ListRunsResponse* response) {
  const UnaryCall call(context, "ListRuns", gate_);
  const absl::StatusOr<int> page_size =
      PageSize(request->page_size(), kDefaultRunsPage);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = page_size.status();
  if (bad.ok()) bad = CheckText("page_token", request->page_token(), 0, 256);
  if (!bad.ok()) return call.Finish(bad);
  context_.executor->Post(
      [call, request, response, size = *page_size, store = context_.store] {
        call.Finish(ReadRuns(store, size, request->page_token(), response));
      });
  return call.reactor();
}

grpc::ServerUnaryReactor* RunServiceImpl::CancelRun(
    grpc::CallbackServerContext* context, const v1::CancelRunRequest* request,
    v1::Run* response) {
  const UnaryCall call(context, "CancelRun", gate_);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = CheckRunId(request->run_id());
  if (!bad.ok()) return call.Finish(bad);
  context_.executor->Post([call, request, response, store = context_.store] {
    const absl::StatusOr<RunInfo> run =
        OwnRun(store, request->run_id(), call.caller());
    if (!run.ok()) {
      call.Finish(run.status());
      return;
    }
    store->CancelRun(
        request->run_id(),
        [call, response](const absl::StatusOr<RunInfo>& cancelled) {
          call.Finish(Answer(cancelled, response));
        });
  });
  return call.reactor();
}

grpc::ServerUnaryReactor* RunServiceImpl::SubmitSamples(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  const UnaryCall call(context, "SubmitSamples", gate_);
  const auto submission = std::make_shared<Submission>();
  submission->bytes = response;
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = ReadSubmission(*request, &submission->request);
  if (!bad.ok()) return call.Finish(bad);
  bad = CheckNotDraining();
  if (bad.ok()) bad = CheckSubmission(submission->request);
  if (!bad.ok()) return submission->Finish(call, bad);
  context_.executor->Post([call, submission, store = context_.store] {
    Submit(store, call, submission);
  });
  return call.reactor();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* RunServiceImpl::WatchRun(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  v1::WatchRunRequest request;
  std::string id = NameRequest(*context);
  absl::Status bad = gate_.Admit(*context, "WatchRun").status();
  if (bad.ok() && !FromBytes(*bytes, &request))
    bad = absl::InvalidArgumentError("the request is no WatchRunRequest");
  if (bad.ok()) bad = CheckRunId(request.run_id());
  if (bad.ok()) bad = CheckAfterSequence(request.after_sequence());
  if (!bad.ok())
    return Refuse<grpc::ByteBuffer>({.method = "WatchRun", .request = id}, bad,
                                    gate_.observer());
  return WatchReactor::Start(context_, context, std::move(id), request.run_id(),
                             request.after_sequence());
}

grpc::ServerUnaryReactor* RunServiceImpl::ListRecords(
    grpc::CallbackServerContext* context, const v1::ListRecordsRequest* request,
    v1::ListRecordsResponse* response) {
  const UnaryCall call(context, "ListRecords", gate_);
  const absl::StatusOr<int> page_size =
      PageSize(request->page_size(), kDefaultRecordsPage);
  absl::Status bad = call.admitted();
  if (bad.ok()) bad = CheckRunId(request->run_id());
  if (bad.ok()) bad = page_size.status();
  if (bad.ok()) bad = CheckAfterSequence(request->after_sequence());
  if (!bad.ok()) return call.Finish(bad);
  context_.executor->Post(
      [call, request, response, size = *page_size, store = context_.store] {
        call.Finish(ReadRecords(store, *request, size, response));
      });
  return call.reactor();
}

grpc::ServerWriteReactor<v1::ExportRunResponse>* RunServiceImpl::ExportRun(
    grpc::CallbackServerContext* context, const v1::ExportRunRequest* request) {
  std::string id = NameRequest(*context);
  absl::Status bad = gate_.Admit(*context, "ExportRun").status();
  if (bad.ok()) bad = CheckRunId(request->run_id());
  // Nobody would wait for its end.
  if (bad.ok() && exports_.hub->is_stopped()) bad = Draining();
  if (!bad.ok())
    return Refuse<v1::ExportRunResponse>({.method = "ExportRun", .request = id},
                                         bad, gate_.observer());
  return ExportReactor::Start(exports_, context, std::move(id),
                              request->run_id());
}

}  // namespace kvrecall
