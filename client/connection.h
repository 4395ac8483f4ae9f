#pragma once

// The client's side of the API: one connection, calls in terms of the
// project's own structs, errors as one clear line. Thread-safe.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"

#include "client/server_target.h"
#include "common/record/record.h"
#include "common/record/run_info.h"
#include "kvrecall/v1/admin_service.grpc.pb.h"
#include "kvrecall/v1/model_service.grpc.pb.h"
#include "kvrecall/v1/run_service.grpc.pb.h"

namespace kvrecall {

// What ExportRun says of the whole file.
struct ExportedFile {
  int64_t size = 0;    // bytes
  std::string digest;  // SHA-256, hexadecimal
};

class Connection {
 public:
  // Connects lazily: a wrong address shows at the first call.
  explicit Connection(ServerTarget target);
  // In clear, and without saying who calls.
  explicit Connection(std::string address)
      : Connection(
            ServerTarget{std::move(address), false, {}, {}, {}, {}, {}}) {}

  const std::string& address() const { return target_.address; }
  v1::RunService::Stub& runs() const { return *runs_; }

  // Says in the call's headers who makes it.
  void Identify(grpc::ClientContext& context) const;

  // Waits until the connection stands, at most so long; whether it does. A call
  // that fails may leave it down, and then nobody makes it anew who does not
  // wait here or make another call.
  bool WaitUntilConnected(absl::Duration longest) const;

  // UNAVAILABLE where no server answers, FAILED_PRECONDITION where TLS fails;
  // the message says what to do then. Anything else is the server's own answer.
  // All calls below fail like this.
  absl::Status ToStatus(const grpc::Status& status) const;

  absl::StatusOr<v1::ServerInfo> GetServerInfo(
      absl::Duration timeout = absl::Seconds(10)) const;
  absl::StatusOr<RunInfo> CreateRun(
      const std::string& request_id, const RunConfig& config,
      bool reuse_records = false,
      absl::Duration time_limit = absl::InfiniteDuration()) const;
  absl::StatusOr<RunInfo> GetRun(const std::string& run_id) const;
  // Newest first, all pages up to `limit` runs.
  absl::StatusOr<std::vector<RunInfo>> ListRuns(int64_t limit) const;
  absl::StatusOr<RunInfo> CancelRun(const std::string& run_id) const;
  absl::StatusOr<v1::SubmitSamplesResponse> SubmitSamples(
      const v1::SubmitSamplesRequest& request) const;

  // Calls `visit` for the run's committed events from the first to
  // `last_sequence`, a page at a time. Stops at visit's first error.
  absl::Status ReadRecords(
      const std::string& run_id, int64_t last_sequence,
      const std::function<absl::Status(const Event&)>& visit) const;

  // Calls `visit` for the chunks of the run's database file, in order. Stops at
  // visit's first error. DataLoss: the stream ended without saying what it
  // sent.
  absl::StatusOr<ExportedFile> ExportRun(
      const std::string& run_id,
      const std::function<absl::Status(const std::string&)>& visit) const;

  // What the server says of its own health (grpc.health.v1): whether it takes
  // new work. Needs no token.
  absl::StatusOr<bool> IsServing(absl::Duration timeout) const;

  absl::StatusOr<v1::TokenizeResponse> Tokenize(const std::string& text) const;

  absl::StatusOr<v1::ServerStatus> GetStatus() const;
  absl::StatusOr<v1::DeleteRunResponse> DeleteRun(
      const std::string& run_id) const;
  // Takes as long as it takes.
  absl::StatusOr<v1::BackupResponse> Backup(const std::string& path) const;
  absl::StatusOr<v1::CheckpointResponse> Checkpoint() const;
  absl::Status Drain(const std::string& reason) const;

 private:
  // Ready for a call.
  void Prepare(grpc::ClientContext& context, absl::Duration timeout) const;

  ServerTarget target_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RunService::Stub> runs_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

// As ReadTarget fails.
absl::StatusOr<Connection> Connect(const ServerChoice& server);

}  // namespace kvrecall
