// The stream's state machine without gRPC, whose library ThreadSanitizer cannot
// see into: every interleaving that a real stream has, at full speed. What must
// hold of any of them is checked by FakeSink.

#include "server/service/watch_cursor.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/error_reason.h"
#include "proto/convert/error_convert.h"
#include "tests/server/service/counting_observer.h"
#include "tests/server/service/fake_sink.h"
#include "tests/server/service/fake_store.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

class WatchCursorTest : public ::testing::Test {
 protected:
  WatchCursorTest() {
    UseHeartbeat(absl::Hours(1));
    store_.CreateRun({"a", "digest", {}, {}}, [](absl::StatusOr<RunInfo>) {});
  }
  ~WatchCursorTest() override {
    hub_.reset();
    executor_.reset();
    EXPECT_EQ(observer_.opened(), observer_.closed());
  }

  void UseHeartbeat(absl::Duration heartbeat,
                    absl::Duration write_timeout = absl::Hours(1)) {
    hub_ = std::make_unique<WatchHub>(heartbeat, write_timeout);
  }

  std::shared_ptr<FakeSink> Open(int64_t after = 0) {
    return FakeSink::Open({&store_, executor_.get(), hub_.get(), &observer_},
                          run_id_, after);
  }

  void CommitSteps(int count) {
    std::vector<Event> events(count);
    for (Event& event : events) {
      event.sample_id = "s";
      event.body = StepRecord();
    }
    store_.Commit(run_id_, std::move(events));
  }
  void CommitEnd() { store_.Commit(run_id_, {Event{0, "", 1, RunEnd{}}}); }

  const std::string run_id_ = "run-a";
  FakeStore store_;
  CountingObserver observer_;
  std::unique_ptr<ReadExecutor> executor_ = std::make_unique<ReadExecutor>(2);
  std::unique_ptr<WatchHub> hub_;
};

TEST_F(WatchCursorTest, CommitsRacingWithReadsAndHeartbeatsLoseNothing) {
  UseHeartbeat(absl::Microseconds(50));
  std::vector<std::shared_ptr<FakeSink>> sinks;
  for (int i = 0; i < 4; ++i) sinks.push_back(Open());
  for (int i = 0; i < 1000; ++i) CommitSteps(1 + i % 3);
  CommitEnd();
  for (const auto& sink : sinks) {
    EXPECT_TRUE(sink->Join().ok());
    EXPECT_EQ(sink->last_sequence(), store_.GetRun(run_id_)->last_sequence);
  }
}

TEST_F(WatchCursorTest, HeartbeatsComeOnlyWhereNothingElseDoes) {
  UseHeartbeat(absl::Milliseconds(1));
  const auto sink = Open();
  sink->WaitForHeartbeats(5);
  CommitEnd();
  EXPECT_TRUE(sink->Join().ok());
  // They came before the first event: so they told the place in the queue.
  EXPECT_EQ(sink->samples_ahead(), store_.SamplesAhead(run_id_).value());
}

// It gets what there is, and is not left waiting for what will not come.
TEST_F(WatchCursorTest, TheStreamOfAHeldRunSaysSo) {
  CommitSteps(700);
  store_.Hold(run_id_, "threads (2 and 4)");
  for (const int64_t after : {0, 650, 700}) {
    const auto sink = Open(after);
    const grpc::Status status = sink->Join();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(status.error_message(), HasSubstr("threads (2 and 4)"));
    const absl::Status told =
        WithErrorDetails(absl::UnknownError("words"), status.error_details());
    EXPECT_EQ(FactsOf(told)["last_sequence"], "700");
    EXPECT_EQ(sink->last_sequence(), 700);
  }
  // Cancelled meanwhile, it has an end like any other.
  CommitEnd();
  const auto sink = Open();
  EXPECT_TRUE(sink->Join().ok());
  EXPECT_EQ(sink->last_sequence(), 701);
}

TEST_F(WatchCursorTest, AClientThatGoesAtAnyMomentIsReleased) {
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop) CommitSteps(1);
  });
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const int64_t after = store_.GetRun(run_id_)->last_sequence;
    const auto sink = Open(after);
    // Before the first read, between reads and writes, or in a write.
    if (i % 3 == 1) sink->WaitForSequence(after + random() % 20);
    if (i % 3 == 2) {
      sink->Stall(true);
      sink->WaitForWrite();
    }
    sink->HangUp();
    EXPECT_EQ(sink->Join().error_code(), grpc::StatusCode::CANCELLED);
  }
  stop = true;
  writer.join();
  store_.WaitForListeners(0);
  EXPECT_EQ(hub_->open(), 0);
}

TEST_F(WatchCursorTest, NobodyKeepsACursorThatIsDone) {
  std::weak_ptr<WatchCursor> cursor;
  {
    const auto sink = Open();
    cursor = sink->observed();
    sink->HangUp();
    sink->Join();
  }
  executor_.reset();  // with the last task that held it
  EXPECT_TRUE(cursor.expired());
}

TEST_F(WatchCursorTest, ShutdownAtAnyMomentEndsEveryStreamUnavailable) {
  for (int round = 0; round < 50; ++round) {
    UseHeartbeat(absl::Microseconds(100));
    std::vector<std::shared_ptr<FakeSink>> sinks;
    for (int i = 0; i < 4; ++i) sinks.push_back(Open());
    std::thread writer([&] {
      for (int i = 0; i < 20; ++i) CommitSteps(1);
    });
    if (round % 2) sinks[0]->WaitForSequence(1);
    hub_->Stop();
    sinks.push_back(Open());  // one that comes too late
    writer.join();
    for (const auto& sink : sinks) {
      const grpc::Status status = sink->Join();
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
      EXPECT_THAT(
          status.error_message(),
          HasSubstr(absl::StrCat("after_sequence ", sink->last_sequence())));
    }
  }
  EXPECT_EQ(observer_.ended(StreamEnd::kDrain), 50 * 5);
}

// The one that stalls is told from where to go on; another, beside it, is not
// disturbed.
TEST_F(WatchCursorTest, AWriteThatIsNotTakenForLongIsGivenUp) {
  UseHeartbeat(absl::Milliseconds(2), absl::Milliseconds(20));
  const auto lively = Open();
  const auto stalled = Open();
  CommitSteps(2);
  stalled->WaitForSequence(2);
  stalled->Stall(true);
  CommitSteps(1);
  const grpc::Status status = stalled->Join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const absl::Status told = WithErrorDetails(absl::ResourceExhaustedError(""),
                                             status.error_details());
  EXPECT_EQ(ReasonOf(told), "SLOW_READER");
  EXPECT_EQ(FactsOf(told).at("last_sequence"), "2");
  lively->WaitForSequence(3);
  lively->WaitForHeartbeats(3);
  CommitEnd();
  EXPECT_TRUE(lively->Join().ok());
  EXPECT_EQ(observer_.ended(StreamEnd::kSlow), 1);
  EXPECT_EQ(observer_.ended(StreamEnd::kDone), 1);
}

TEST_F(WatchCursorTest, AStalledWriteIsWaitedForAndHoldsNobodyUp) {
  const auto stalled = Open();
  stalled->Stall(true);
  CommitSteps(1);
  stalled->WaitForWrite();
  const auto other = Open();
  CommitSteps(500);
  CommitEnd();
  EXPECT_TRUE(other->Join().ok());
  hub_->Stop();  // does not wait for it either
  stalled->Stall(false);
  EXPECT_EQ(stalled->Join().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(WatchCursorTest, AReadErrorEndsTheStream) {
  const auto sink = Open();
  store_.WaitForEmptyReads(1);
  store_.FailReads(absl::UnavailableError("busy"));
  CommitSteps(1);
  EXPECT_EQ(sink->Join().error_code(), grpc::StatusCode::UNAVAILABLE);
  store_.FailReads(absl::OkStatus());
  EXPECT_EQ(observer_.ended(StreamEnd::kError), 1);
}

// Each message says how much is left for the next ones.
TEST_F(WatchCursorTest, TheObserverHearsHowFarBehindAStreamIs) {
  CommitSteps(600);
  CommitEnd();
  const auto sink = Open();
  EXPECT_TRUE(sink->Join().ok());
  const std::vector<int64_t> behind = observer_.behind();
  ASSERT_GT(behind.size(), 1u);
  EXPECT_TRUE(std::is_sorted(behind.rbegin(), behind.rend()));
  EXPECT_GT(behind.front(), 0);
  EXPECT_EQ(behind.back(), 0);
}

}  // namespace
}  // namespace kvrecall
