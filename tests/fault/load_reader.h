#pragma once

// One of many readers of a run: a WatchRun stream over a connection of its
// own, watched again from its last sequence when the server gives it up.
//
// gRPC's threads call the reader; all that is public belongs to the one thread
// that made it, and the figures are there once it is done.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grpcpp/grpcpp.h"

#include "kvrecall/v1/run_service.grpc.pb.h"

namespace kvrecall {

struct ReaderOptions {
  std::string address;
  std::string run_id;
  // Takes the first message with events, and no more until it is woken.
  bool stalls = false;
};

// Events of one sequence, in the order in which they came.
struct Arrivals {
  std::vector<int64_t> events;    // [sequence − 1]: MonotonicNanos
  std::vector<int64_t> messages;  // with events: MonotonicNanos
  int64_t out_of_order = 0;       // events that were not the next one
  int64_t streams = 0;
  bool run_ended = false;
  std::string error;  // of the last stream, if that did not end with OK
};

class Reader {
 public:
  explicit Reader(ReaderOptions options);
  ~Reader();  // waits for the stream's end

  void Start();
  void Wake();
  // Ends the stream, from this side.
  void Cancel();

  bool done() const { return done_; }
  void Wait();
  const Arrivals& arrivals() const { return arrivals_; }

 private:
  class Call;

  void Open();
  // On gRPC's threads. False: read no further for now.
  bool OnMessage(const v1::WatchRunResponse& message);
  void OnDone(const grpc::Status& status);

  const ReaderOptions options_;
  const std::unique_ptr<v1::RunService::Stub> stub_;

  std::mutex mutex_;
  Call* call_ = nullptr;  // deletes itself
  bool stalls_;           // still
  bool holding_ = false;  // `call_` waits to be told to read on
  bool cancelled_ = false;
  std::atomic<bool> done_ = false;
  Arrivals arrivals_;  // of the one call that there is at a time
};

}  // namespace kvrecall
