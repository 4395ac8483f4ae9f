#pragma once

// One ExportRun stream: has the store write the run's file, then sends it chunk
// by chunk.
//
// A chunk that its client does not take for the hub's write timeout ends it.
//
// One party touches the stream at a time: a task of the executor, which makes
// the file or reads a chunk, or gRPC, which sends it. So one write is in flight
// at most, a slow client holds up nobody (its next chunk is read when the last
// one has gone), and Finish is called once.

#include <atomic>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/server_callback.h"

#include "common/base/digest.h"
#include "kvrecall/v1/run_service.pb.h"
#include "server/service/read_executor.h"
#include "server/service/rpc_observer.h"
#include "server/service/watch_hub.h"
#include "server/store/store.h"

namespace kvrecall {

// What all exports share; outlives them.
struct ExportContext {
  Store* store = nullptr;
  // Of its own: a large run takes seconds to write, which streams and calls
  // must not wait for. One thread makes exports wait for one another.
  ReadExecutor* executor = nullptr;
  RpcObserver* observer = nullptr;
  WatchHub* hub = nullptr;
};

class ExportReactor final
    : public grpc::ServerWriteReactor<v1::ExportRunResponse>,
      public WatchStream {
 public:
  // Starts a stream for a request that was checked. The result is gRPC's until
  // OnDone.
  static ExportReactor* Start(const ExportContext& context,
                              grpc::CallbackServerContext* call,
                              std::string request_id, std::string run_id);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override;

  absl::Time Beat(absl::Time now) override;
  // It has the shutdown's grace to end in.
  void EndForShutdown() override {}

 private:
  ExportReactor(const ExportContext& context, grpc::CallbackServerContext* call,
                std::string request_id, std::string run_id)
      : context_(context),
        request_id_(std::move(request_id)),
        run_id_(std::move(run_id)),
        call_(call) {}

  void Post(void (ExportReactor::*task)());
  void Open();
  void SendNext();
  absl::Status ReadChunk();
  void Write();
  void FinishWith(const absl::Status& status);

  const ExportContext context_;
  const std::string request_id_;
  const std::string run_id_;
  std::shared_ptr<ExportReactor> self_;  // until OnDone; a task may be later
  uint64_t hub_key_ = 0;
  std::atomic<bool> cancelled_ = false;

  std::mutex mutex_;
  // gRPC's, until OnDone; guarded by mutex_, as is the next.
  grpc::CallbackServerContext* call_;
  absl::Time write_began_ = absl::InfiniteFuture();  // of the one in flight

  // Of whoever touches the stream.
  std::unique_ptr<std::istream> file_;
  Sha256 digest_;
  int64_t size_ = 0;
  v1::ExportRunResponse response_;
  bool end_sent_ = false;
};

}  // namespace kvrecall
