#pragma once

// A WatchCursor as a gRPC stream: every reaction is handed on.

#include <cstdint>
#include <memory>
#include <string>

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"

#include "kvrecall/v1/run_service.pb.h"
#include "server/service/watch_cursor.h"

namespace kvrecall {

class WatchReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public WatchSink {
 public:
  // Starts a stream for a request that was checked. The result is gRPC's until
  // OnDone.
  static WatchReactor* Start(const WatchContext& context,
                             grpc::CallbackServerContext* call,
                             std::string request_id, std::string run_id,
                             int64_t after_sequence);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  void StartWrite(const v1::WatchRunResponse& message) override;
  void Finish(const grpc::Status& status) override;
  // gRPC ends a stream with words of ours only when its client reads on; one
  // that does not is cancelled.
  void Abort() override { call_->TryCancel(); }

  // Which owns this in turn: an executor task that is on its way out of a call
  // may outlive OnDone, which cuts the ring.
  std::shared_ptr<WatchCursor> cursor_;
  grpc::ByteBuffer bytes_;                       // of the write in flight
  grpc::CallbackServerContext* call_ = nullptr;  // gRPC's, until OnDone
};

}  // namespace kvrecall
