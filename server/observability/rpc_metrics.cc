#include "server/observability/rpc_metrics.h"

namespace kvrecall {
namespace {

using enum MetricId;

constexpr const char* kMethods[] = {
    "CreateRun",     "GetRun",        "ListRuns",    "CancelRun",
    "SubmitSamples", "WatchRun",      "ListRecords", "ExportRun",
    "GetModel",      "GetServerInfo", "Tokenize",    "GetStatus",
    "DeleteRun",     "Backup",        "Checkpoint",  "Drain"};

constexpr const char* kCodeNames[] = {"OK",
                                      "CANCELLED",
                                      "UNKNOWN",
                                      "INVALID_ARGUMENT",
                                      "DEADLINE_EXCEEDED",
                                      "NOT_FOUND",
                                      "ALREADY_EXISTS",
                                      "PERMISSION_DENIED",
                                      "RESOURCE_EXHAUSTED",
                                      "FAILED_PRECONDITION",
                                      "ABORTED",
                                      "OUT_OF_RANGE",
                                      "UNIMPLEMENTED",
                                      "INTERNAL",
                                      "UNAVAILABLE",
                                      "DATA_LOSS",
                                      "UNAUTHENTICATED"};

// In the order of Admission and of StreamEnd.
constexpr const char* kAdmissionNames[] = {
    "accepted", "duplicate",     "queue_full", "refused",
    "disk_low", "database_full", "draining",   "error"};
static_assert(std::size(kAdmissionNames) == kAdmissionResults);
constexpr const char* kStreamEndNames[] = {"done", "client_gone", "slow",
                                           "drain", "error"};
static_assert(std::size(kStreamEndNames) == kStreamEnds);

}  // namespace

RpcMetrics::RpcMetrics(MetricFamilies* families)
    : open_(families->Gauge(kStreamsOpen)),
      lag_(families->Histogram(kStreamLag)) {
  for (const char* method : kMethods)
    for (int code = 0; code < kCodes; ++code)
      handled_[method][code] = &families->Counter(
          kGrpcHandled, {{"method", method}, {"code", kCodeNames[code]}});
  for (int i = 0; i < kAdmissionResults; ++i)
    admissions_[i] =
        &families->Counter(kAdmissions, {{"result", kAdmissionNames[i]}});
  for (int i = 0; i < kStreamEnds; ++i)
    closed_[i] =
        &families->Counter(kStreamsClosed, {{"reason", kStreamEndNames[i]}});
}

void RpcMetrics::OnCallHandled(std::string_view method, int code) {
  const auto it = handled_.find(method);
  if (it == handled_.end() || code < 0 || code >= kCodes) return;
  it->second[code]->Increment();
}

void RpcMetrics::OnAdmission(Admission result, int64_t samples) {
  admissions_[static_cast<int>(result)]->Increment(
      static_cast<double>(samples));
}

void RpcMetrics::OnStreamOpened() { open_.Increment(); }

void RpcMetrics::OnStreamClosed(StreamEnd why) {
  open_.Decrement();
  closed_[static_cast<int>(why)]->Increment();
}

void RpcMetrics::OnStreamMessage(int64_t records_behind) {
  lag_.Observe(static_cast<double>(records_behind));
}

}  // namespace kvrecall
