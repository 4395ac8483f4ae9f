#pragma once

// What the RPC services tell of their work: the seam through which metrics see
// it.

#include <cstdint>
#include <string_view>

namespace kvrecall {

// What became of a sample that was submitted.
enum class Admission {
  kAccepted,
  kDuplicate,     // its run has it
  kQueueFull,     // the queue's limits, or its client's
  kRefused,       // it, its call or its run is not as it must be
  kDiskLow,       // too little room on the disk
  kDatabaseFull,  // the database has its full size
  kDraining,
  kError,  // the server's
};
inline constexpr int kAdmissionResults = 8;

// Why a stream ended.
enum class StreamEnd {
  kDone,  // the run has ended, and all was sent
  kClientGone,
  kSlow,   // the client did not take a message
  kDrain,  // the server ends
  kError,
};
inline constexpr int kStreamEnds = 5;

// Called on gRPC, executor and writer threads at once: implementations are
// thread-safe and do not block. As it is, it does nothing.
class RpcObserver {
 public:
  virtual ~RpcObserver() = default;
  // A call to `method` ("CreateRun") ended with the gRPC status `code`.
  virtual void OnCallHandled(std::string_view /*method*/, int /*code*/) {}
  virtual void OnAdmission(Admission, int64_t /*samples*/) {}
  // One WatchRun stream more, or one less.
  virtual void OnStreamOpened() {}
  virtual void OnStreamClosed(StreamEnd) {}
  // A message with records goes out; so many committed ones are left for later.
  virtual void OnStreamMessage(int64_t /*records_behind*/) {}
};

}  // namespace kvrecall
