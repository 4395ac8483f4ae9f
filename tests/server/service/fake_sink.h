#pragma once

// A WatchSink without gRPC: a thread of its own takes the writes, checks the
// contract, and answers. It may be told to be slow, to stall or to hang up.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "server/service/watch_cursor.h"

namespace kvrecall {

class FakeSink final : public WatchSink {
 public:
  // Makes a cursor over a sink of its own and starts it.
  static std::shared_ptr<FakeSink> Open(const WatchContext& context,
                                        const std::string& run_id,
                                        int64_t after) {
    auto sink = std::make_shared<FakeSink>();
    sink->cursor_ = std::make_shared<WatchCursor>(context, sink, "request-1",
                                                  run_id, after);
    sink->observed_ = sink->cursor_;
    sink->expected_ = after + 1;
    sink->wire_ = std::thread([s = sink.get()] { s->Run(); });
    sink->cursor_->Start();
    return sink;
  }
  ~FakeSink() override { EXPECT_FALSE(wire_.joinable()) << "not joined"; }

  void StartWrite(const v1::WatchRunResponse& message) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(write_.has_value()) << "two writes in flight";
    EXPECT_FALSE(status_.has_value()) << "a write after Finish";
    write_ = message;
    changed_.notify_all();
  }

  void Finish(const grpc::Status& status) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(write_.has_value()) << "Finish beside a write";
    EXPECT_FALSE(status_.has_value()) << "Finish twice";
    status_ = status;
    changed_.notify_all();
  }

  void Abort() override {
    std::lock_guard lock(mutex_);
    EXPECT_TRUE(write_.has_value()) << "nothing to give up";
    gone_ = true;
    changed_.notify_all();
  }

  // Writes stay in flight while it is true.
  void Stall(bool stalled) {
    std::lock_guard lock(mutex_);
    stalled_ = stalled;
    changed_.notify_all();
  }

  // The client goes: the write in flight fails, the cursor hears of it.
  void HangUp() {
    {
      std::lock_guard lock(mutex_);
      if (status_) return;
      gone_ = true;
      cancelling_ = true;
      changed_.notify_all();
    }
    cursor_->OnCancel();
    std::lock_guard lock(mutex_);
    cancelling_ = false;
    changed_.notify_all();
  }

  void WaitForSequence(int64_t sequence) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return expected_ > sequence; });
  }
  void WaitForHeartbeats(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return heartbeats_ >= count; });
  }
  void WaitForWrite() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return write_.has_value(); });
  }

  // Waits for the end of the stream; what it ended with. Call once.
  grpc::Status Join() {
    wire_.join();
    return *status_;
  }

  int64_t last_sequence() const { return expected_ - 1; }
  int64_t samples_ahead() const { return samples_ahead_; }  // by the last
  // Of the cursor, which nobody may keep after the end.
  std::weak_ptr<WatchCursor> observed() const { return observed_; }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] {
        return (write_.has_value() && (!stalled_ || gone_)) ||
               (status_ && !cancelling_);
      });
      if (!write_.has_value()) break;
      if (!gone_) Check(*write_);
      const bool ok = !gone_;
      write_.reset();
      changed_.notify_all();
      lock.unlock();
      cursor_->OnWriteDone(ok);
      lock.lock();
    }
    lock.unlock();
    const std::shared_ptr<WatchCursor> cursor = std::move(cursor_);
    cursor->OnDone();
  }

  // Without gap, without repetition, each with the last committed sequence.
  void Check(const v1::WatchRunResponse& message) {
    for (const v1::Event& event : message.events()) {
      EXPECT_EQ(event.sequence(), expected_);
      expected_ = event.sequence() + 1;
    }
    if (message.events_size() == 0) {
      ++heartbeats_;
      samples_ahead_ = message.samples_ahead();
    }
    EXPECT_GE(message.last_sequence(), expected_ - 1);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<WatchCursor> cursor_;
  std::weak_ptr<WatchCursor> observed_;
  std::optional<v1::WatchRunResponse> write_;
  std::optional<grpc::Status> status_;
  bool stalled_ = false;
  bool gone_ = false;
  bool cancelling_ = false;
  int64_t expected_ = 1;
  int heartbeats_ = 0;
  int64_t samples_ahead_ = 0;
  std::thread wire_;
};

}  // namespace kvrecall
