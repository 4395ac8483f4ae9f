// WatchRun over a real channel. Nothing here sleeps: tests wait for what the
// store, the observer or the stream itself reports.

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

// A stream as a client reads it: events one by one, heartbeats counted.
class Watch {
 public:
  Watch(v1::RunService::Stub* stub, const std::string& run_id, int64_t after) {
    v1::WatchRunRequest request;
    request.set_run_id(run_id);
    request.set_after_sequence(after);
    reader_ = stub->WatchRun(&context_, request);
  }

  // The next event's sequence; 0 at the end of the stream.
  int64_t Next() {
    while (next_ == message_.events_size()) {
      if (!ReadMessage()) return 0;
    }
    const v1::Event& event = message_.events(next_++);
    ended_ = event.has_run_finished();
    return event.sequence();
  }

  // Reads one message, events or heartbeat.
  bool ReadMessage() {
    next_ = 0;
    message_.Clear();
    return reader_->Read(&message_);
  }

  // Expects the events from `first` to `last`, without gap or repetition.
  void Expect(int64_t first, int64_t last) {
    for (int64_t sequence = first; sequence <= last; ++sequence)
      ASSERT_EQ(Next(), sequence);
  }

  const v1::WatchRunResponse& message() const { return message_; }
  bool ended() const { return ended_; }
  grpc::Status Finish() { return reader_->Finish(); }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchRunResponse>> reader_;
  v1::WatchRunResponse message_;
  int next_ = 0;
  bool ended_ = false;
};

class WatchRunTest : public RpcTest {
 protected:
  Watch Open(const std::string& run_id, int64_t after = 0) {
    return Watch(runs_.get(), run_id, after);
  }
};

TEST_F(WatchRunTest, AFinishedRunIsReadToItsEndAndEndsOk) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(1000));  // several messages
  store_.Commit(run_id, End());
  Watch watch = Open(run_id);
  watch.Expect(1, 1001);
  EXPECT_TRUE(watch.ended());
  EXPECT_EQ(watch.message().last_sequence(), 1001);
  EXPECT_EQ(watch.Next(), 0);
  EXPECT_TRUE(watch.Finish().ok());
  observer_.WaitForClosed(1);
  EXPECT_EQ(observer_.handled("WatchRun 0"), 1);
}

TEST_F(WatchRunTest, EveryMessageSaysTheLastCommittedSequence) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(1000));
  Watch watch = Open(run_id);
  EXPECT_EQ(watch.Next(), 1);
  EXPECT_EQ(watch.message().last_sequence(), 1000);
  EXPECT_LT(watch.message().events_size(), 1000);
}

TEST_F(WatchRunTest, AWatcherThatComesBackMissesNothingAndSeesNothingTwice) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(10));
  {
    Watch first = Open(run_id);
    first.Expect(1, 7);
  }
  observer_.WaitForClosed(1);
  store_.Commit(run_id, Steps(2));
  store_.Commit(run_id, End());
  Watch second = Open(run_id, 7);
  second.Expect(8, 13);
  EXPECT_EQ(second.Next(), 0);
  EXPECT_TRUE(second.Finish().ok());
}

TEST_F(WatchRunTest, AWatcherWaitsForEventsThatAreNotThereYet) {
  const std::string run_id = MakeRun("a");
  Watch watch = Open(run_id);
  store_.WaitForEmptyReads(1);
  for (int i = 1; i <= 50; ++i) {
    store_.Commit(run_id, Steps(1));
    ASSERT_EQ(watch.Next(), i);
  }
  store_.Commit(run_id, End());
  EXPECT_EQ(watch.Next(), 51);
  EXPECT_EQ(watch.Next(), 0);
  EXPECT_TRUE(watch.Finish().ok());
}

TEST_F(WatchRunTest, CommitsThatRaceWithReadsAreNeverMissed) {
  const std::string run_id = MakeRun("a");
  std::vector<std::thread> watchers;
  for (int w = 0; w < 4; ++w)
    watchers.emplace_back([&] {
      Watch watch = Open(run_id);
      watch.Expect(1, 2001);
      EXPECT_EQ(watch.Next(), 0);
      EXPECT_TRUE(watch.Finish().ok());
    });
  for (int i = 0; i < 2000; ++i) store_.Commit(run_id, Steps(1));
  store_.Commit(run_id, End());
  for (std::thread& watcher : watchers) watcher.join();
  observer_.WaitForClosed(4);
  EXPECT_EQ(observer_.opened(), 4);
}

TEST_F(WatchRunTest, AFinishedRunWhoseEndTheWatcherHasEndsOkAtOnce) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(3));
  store_.Commit(run_id, End());
  Watch watch = Open(run_id, 4);
  EXPECT_EQ(watch.Next(), 0);
  EXPECT_TRUE(watch.Finish().ok());
}

TEST_F(WatchRunTest, UnknownRunsAndBadCursorsAreRefused) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(3));
  const auto status_of = [&](const std::string& id, int64_t after) {
    Watch watch = Open(id, after);
    EXPECT_EQ(watch.Next(), 0);
    return watch.Finish();
  };
  EXPECT_EQ(status_of("nope", 0).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status_of(run_id, 4).error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_THAT(status_of("", 0).error_message(), HasSubstr("run_id: is empty"));
  EXPECT_THAT(status_of(run_id, -1).error_message(),
              HasSubstr("after_sequence: -1 is negative"));
  EXPECT_EQ(observer_.handled("WatchRun 3"), 2);
}

TEST_F(WatchRunTest, AReadErrorEndsTheStreamNotOk) {
  const std::string run_id = MakeRun("a");
  Watch watch = Open(run_id);
  store_.WaitForEmptyReads(1);
  store_.FailReads(absl::InternalError("disk"));
  store_.Commit(run_id, Steps(1));
  EXPECT_EQ(watch.Next(), 0);
  EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::INTERNAL);
}

TEST_F(WatchRunTest, AClientThatCancelsIsReleased) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(1));
  for (int i = 1; i <= 100; ++i) {
    Watch watch = Open(run_id);
    if (i % 2) watch.Expect(1, 1);
    watch.Cancel();
  }
  // After this no call is under way, and none can come any more; some were
  // cancelled before the server heard of them.
  server_->Shutdown(absl::Seconds(30));
  EXPECT_GE(observer_.opened(), 50);
  EXPECT_EQ(observer_.opened(), observer_.closed());
  store_.WaitForListeners(0);
}

TEST_F(WatchRunTest, AnIdleStreamGetsHeartbeatsWithTheLastSequence) {
  RpcServerOptions options;
  options.heartbeat = absl::Milliseconds(5);
  StartServer(options);
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(2));
  Watch watch = Open(run_id);
  watch.Expect(1, 2);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(watch.ReadMessage());
    EXPECT_EQ(watch.message().events_size(), 0);
    EXPECT_EQ(watch.message().last_sequence(), 2);
  }
  store_.Commit(run_id, End());
  EXPECT_EQ(watch.Next(), 3);
  EXPECT_EQ(watch.Next(), 0);
  EXPECT_TRUE(watch.Finish().ok());
}

TEST_F(WatchRunTest, HeartbeatsAndCommitsThatCollideLoseNothing) {
  RpcServerOptions options;
  options.heartbeat = absl::Microseconds(200);
  StartServer(options);
  const std::string run_id = MakeRun("a");
  Watch watch = Open(run_id);
  for (int i = 1; i <= 500; ++i) {
    store_.Commit(run_id, Steps(1));
    ASSERT_EQ(watch.Next(), i);
  }
  store_.Commit(run_id, End());
  EXPECT_EQ(watch.Next(), 501);
  EXPECT_EQ(watch.Next(), 0);
  EXPECT_TRUE(watch.Finish().ok());
}

TEST_F(WatchRunTest, ShutdownEndsStreamsWithTheSequenceToResumeFrom) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(5));
  Watch watch = Open(run_id);
  watch.Expect(1, 5);
  store_.WaitForEmptyReads(1);
  server_->Shutdown(absl::Seconds(30));
  EXPECT_EQ(watch.Next(), 0);
  const grpc::Status status = watch.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("after_sequence 5"));
  observer_.WaitForClosed(1);
  store_.WaitForListeners(0);
}

TEST_F(WatchRunTest, ShutdownUnderLoadReleasesEveryStream) {
  const std::string run_id = MakeRun("a");
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop) store_.Commit(run_id, Steps(1));
  });
  std::vector<std::thread> watchers;
  std::atomic<int> reading = 0;
  for (int w = 0; w < 8; ++w)
    watchers.emplace_back([&, w] {
      const auto stub = v1::RunService::NewStub(NewChannel());
      Watch watch(stub.get(), run_id, 0);
      for (int64_t expected = 1;; ++expected) {
        const int64_t sequence = watch.Next();
        if (sequence == 0) break;
        ASSERT_EQ(sequence, expected) << "watcher " << w;
        if (expected == 20) ++reading;
      }
      EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
    });
  while (reading < 8) std::this_thread::yield();
  server_->Shutdown(absl::Seconds(30));
  stop = true;
  writer.join();
  for (std::thread& watcher : watchers) watcher.join();
  observer_.WaitForClosed(8);
  store_.WaitForListeners(0);
}

TEST_F(WatchRunTest, AReaderThatStallsCostsOthersNothing) {
  const std::string run_id = MakeRun("a");
  // Far more than the windows of HTTP/2 and the socket take.
  std::vector<Event> events;
  for (int i = 0; i < 2000; ++i) {
    StepRecord step;
    step.token = std::string(16 << 10, 'x');
    events.push_back({0, "sample", 1, step});
  }
  store_.Commit(run_id, events);
  const auto stub = v1::RunService::NewStub(NewChannel());
  Watch stalled(stub.get(), run_id, 0);
  stalled.Expect(1, 1);
  store_.Commit(run_id, End());
  for (int i = 0; i < 3; ++i) {
    Watch other = Open(run_id);
    other.Expect(1, 2001);
    EXPECT_EQ(other.Next(), 0);
    EXPECT_TRUE(other.Finish().ok());
  }
  observer_.WaitForClosed(3);
  EXPECT_EQ(server_->open_streams(), 1);
  // Nor does it keep the server from stopping.
  server_->Shutdown(absl::ZeroDuration());
  observer_.WaitForClosed(4);
}

}  // namespace
}  // namespace kvrecall
