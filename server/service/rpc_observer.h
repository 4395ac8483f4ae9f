#pragma once

// What the RPC services tell of their work: the seam through which metrics see
// it.

#include <string_view>

namespace kvrecall {

// Called on gRPC, executor and writer threads at once: implementations are
// thread-safe and do not block.
class RpcObserver {
 public:
  virtual ~RpcObserver() = default;
  // A call to `method` ("CreateRun") ended with the gRPC status `code`.
  virtual void OnCallHandled(std::string_view method, int code) = 0;
  // One WatchRun stream more, or one less.
  virtual void OnStreamOpened() = 0;
  virtual void OnStreamClosed() = 0;
};

}  // namespace kvrecall
