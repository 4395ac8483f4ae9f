#pragma once

// A kvrecall server in this process that answers from a script: one run, whose
// events are given, and streams that can be made to break. Listens on a free
// port of the loopback. Thread-safe.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grpcpp/grpcpp.h"

#include "common/record/record.h"
#include "common/record/run_info.h"
#include "kvrecall/v1/admin_service.grpc.pb.h"
#include "kvrecall/v1/model_service.grpc.pb.h"
#include "kvrecall/v1/run_service.grpc.pb.h"

namespace kvrecall {

// What the server does and what it was asked. Set before the client comes;
// read after it has gone.
struct FakeScript {
  RunInfo run;
  std::vector<Event> events;  // with their sequences
  int64_t max_samples_per_call = 64;
  int64_t max_message_bytes = 4 << 20;
  // The n-th stream breaks with `break_code` after so many events; later ones
  // send everything.
  std::vector<int> breaks;
  grpc::StatusCode break_code = grpc::StatusCode::UNAVAILABLE;
  // After all events, streams wait until the client has gone.
  bool never_ends = false;
  int64_t samples_ahead = 0;    // as heartbeats say
  int unavailable_submits = 0;  // the first calls fail
  std::string refused_sample;   // answered with OUTCOME_REFUSED
  // How many samples each call takes; the rest of it finds the queue full.
  int64_t room_per_call = INT64_MAX;
  int page_limit = 1000;              // events a ListRecords page has at most
  grpc::Status create_status;         // of CreateRun
  std::vector<std::string> exported;  // chunks of what ExportRun sends
  bool export_breaks = false;         // before it says size and digest
  bool export_is_wrong = false;       // the digest is of something else
  std::vector<v1::SubmitSamplesRequest> submits;
  std::vector<v1::CreateRunRequest> creates;
  std::vector<int64_t> watched_after;
  int cancels = 0;
  grpc::Status admin_status;  // of all calls of AdminService
  v1::ServerStatus status;
  std::vector<std::string> deleted;  // runs
  std::vector<std::string> backups;  // paths
  int64_t log_bytes_after = 0;       // of Checkpoint
  std::vector<std::string> drains;   // reasons
};

class FakeServer final : public v1::RunService::Service,
                         public v1::ModelService::Service,
                         public v1::AdminService::Service {
 public:
  explicit FakeServer(FakeScript script);
  ~FakeServer() override;

  // "127.0.0.1:<port>".
  const std::string& address() const { return address_; }
  // A copy of the script with what was asked.
  FakeScript script() const;
  // True once a stream that never ends has sent all its events.
  bool all_sent() const { return all_sent_; }

  grpc::Status CreateRun(grpc::ServerContext*, const v1::CreateRunRequest*,
                         v1::Run*) override;
  grpc::Status GetRun(grpc::ServerContext*, const v1::GetRunRequest*,
                      v1::Run*) override;
  grpc::Status ListRuns(grpc::ServerContext*, const v1::ListRunsRequest*,
                        v1::ListRunsResponse*) override;
  grpc::Status CancelRun(grpc::ServerContext*, const v1::CancelRunRequest*,
                         v1::Run*) override;
  grpc::Status SubmitSamples(grpc::ServerContext*,
                             const v1::SubmitSamplesRequest*,
                             v1::SubmitSamplesResponse*) override;
  grpc::Status WatchRun(grpc::ServerContext*, const v1::WatchRunRequest*,
                        grpc::ServerWriter<v1::WatchRunResponse>*) override;
  grpc::Status ListRecords(grpc::ServerContext*, const v1::ListRecordsRequest*,
                           v1::ListRecordsResponse*) override;
  grpc::Status ExportRun(grpc::ServerContext*, const v1::ExportRunRequest*,
                         grpc::ServerWriter<v1::ExportRunResponse>*) override;
  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest*,
                        v1::TokenizeResponse*) override;
  grpc::Status GetServerInfo(grpc::ServerContext*,
                             const v1::GetServerInfoRequest*,
                             v1::ServerInfo*) override;

  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                         v1::ServerStatus*) override;
  grpc::Status DeleteRun(grpc::ServerContext*, const v1::DeleteRunRequest*,
                         v1::DeleteRunResponse*) override;
  grpc::Status Backup(grpc::ServerContext*, const v1::BackupRequest*,
                      v1::BackupResponse*) override;
  grpc::Status Checkpoint(grpc::ServerContext*, const v1::CheckpointRequest*,
                          v1::CheckpointResponse*) override;
  grpc::Status Drain(grpc::ServerContext*, const v1::DrainRequest*,
                     v1::DrainResponse*) override;

 private:
  grpc::Status Known(const std::string& run_id) const;

  mutable std::mutex mutex_;
  FakeScript script_;
  std::atomic<bool> all_sent_ = false;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// A script with one run "run-1" of task demo: h2o and oracle, scopes global
// and layer, budgets 0.1 and tokens:4, and `samples` samples of `steps` steps
// each, finished, with plausible seeded numbers.
FakeScript MakeScript(int samples, int steps);

// Gives its run the gap lanes without_gold(0.1) and
// only_pred(h2o,tokens:4,layer), and every step and result what they measure.
void AddGaps(FakeScript* script);

}  // namespace kvrecall
