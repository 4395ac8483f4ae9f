#pragma once

// One WatchRun stream: a cursor over a run's committed events. It knows gRPC
// only as a sink, so that tests can drive it without.
//
// Exactly one party may touch the stream at a time, the one that holds the
// state: an executor task while kReading, the sink while kWriting, whoever
// comes first while kIdle. Everybody else leaves a note (`woken_`, `stop_`)
// that the holder looks at before it lets go. So Finish is called once, never
// beside a write, and nothing is called after it.
//
//   kReading ── events ──▶ kWriting ── OnWriteDone ──▶ kReading
//      │  ▲                   ▲
//      │  └── commit ── kIdle ── heartbeat
//      └── no events ────▶ ┘
//   any of them ── RunEnd sent, stop noted, store failed, held ──▶ kFinished
//
// Invariants:
//  1. At most one write is in flight; `sending_` belongs to it.
//  2. No function of sink or store is called with `mutex_` held: both may call
//     back before they return.
//  3. The stream ends with OK only after RunEnd was sent, in this stream or
//     (the cursor stands behind it) in an earlier one.
//  4. The stream of a run that is held ends with RUN_HELD after its last event.
//  5. A stream that the server ends says the last sequence that it sent.
//  6. A write that the client does not take for long is given up, so that what
//     it holds is free; the client, if it lives, sees a broken stream.
//  7. The sink's owner keeps the cursor until OnDone; the store's listener and
//     the hub know it only weakly.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"

#include "kvrecall/v1/run_service.pb.h"
#include "server/service/read_executor.h"
#include "server/service/rpc_observer.h"
#include "server/service/watch_hub.h"
#include "server/store/store.h"

namespace kvrecall {

// Where the stream goes. At most one write is in flight, and Finish is called
// once, when none is. Each write is answered by WatchCursor::OnWriteDone,
// Finish by OnDone, perhaps before the call returns.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // `message` need not outlive the call: a reader that stalls costs no more
  // than what the sink makes of it.
  virtual void StartWrite(const v1::WatchRunResponse& message) = 0;
  virtual void Finish(const grpc::Status& status) = 0;
  // Gives the stream up: the write in flight fails soon, whatever the client
  // does. Perhaps before the call returns.
  virtual void Abort() = 0;
};

// What all streams of a service share; outlives them.
struct WatchContext {
  Store* store = nullptr;
  ReadExecutor* executor = nullptr;
  WatchHub* hub = nullptr;
  RpcObserver* observer = nullptr;
};

class WatchCursor final : public WatchStream,
                          public std::enable_shared_from_this<WatchCursor> {
 public:
  // For a request that was checked.
  WatchCursor(const WatchContext& context, std::shared_ptr<WatchSink> sink,
              std::string request_id, std::string run_id,
              int64_t after_sequence);

  // Call once, when the sink is ready to answer.
  void Start();

  // The last write has gone out, or never will.
  void OnWriteDone(bool ok);
  // The client has gone. At any time before OnDone.
  void OnCancel();
  // The sink is done with the stream; the last call.
  void OnDone();

  absl::Time Beat(absl::Time now) override;
  void EndForShutdown() override;

 private:
  enum class State { kReading, kIdle, kWriting, kFinished };

  // The run has new events. On the store's writer thread.
  void Wake();
  // First task: looks the run up and subscribes.
  void Open();
  // Every later task: reads what follows the cursor and sends it.
  void Pump();
  absl::Status ReadPage(v1::WatchRunResponse* page);
  void PostPump();
  // On the executor, in the state kWriting: a heartbeat of a run that waits.
  void TellPosition();
  // Gives up the write in flight, after `aborting_` was set.
  void Abort();
  // To kWriting; with `mutex_` held.
  void BeginWrite();
  // Notes why the stream must end; ends it if nobody holds the state.
  void Stop(absl::StatusCode why);
  // What a stream that was stopped ends with; with `mutex_` held.
  absl::Status StopStatus() const;
  absl::Status WhyWriteFailed();
  // The holder's last act.
  void FinishWith(const absl::Status& status);

  const WatchContext context_;
  const std::shared_ptr<WatchSink> sink_;
  const std::string request_id_;
  const std::string run_id_;
  uint64_t hub_key_ = 0;

  // Of the holder of the state alone.
  int64_t sending_ = 0;  // the last sequence of the write in flight
  absl::Status held_;    // what the stream of a run that is held ends with
  bool end_sent_ = false;
  size_t bytes_per_event_ =
      4096;  // a mean over the last page; at first a guess

  std::mutex mutex_;
  State state_ = State::kReading;
  int64_t cursor_;      // last sequence that was sent
  bool woken_ = false;  // committed since the last read began
  std::optional<absl::StatusCode> stop_;
  StreamEnd end_ = StreamEnd::kClientGone;  // how it has ended
  bool aborting_ = false;        // somebody is inside the sink's Abort
  std::optional<bool> written_;  // how the write ended meanwhile
  absl::Time last_write_;
  absl::Time write_began_;  // of the one in flight
  std::shared_ptr<void> subscription_;
};

}  // namespace kvrecall
