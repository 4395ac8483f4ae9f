// Runs that began otherwise than this process would go on with them.

#include <ctime>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/error_reason.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HeldRunsTest : public StoreTest {
 protected:
  std::string CreateOf(const std::string& model, const std::string& request) {
    NewRun run = TestRun(request);
    run.provenance.model_digest = model;
    const auto created = TryCreate(std::move(run));
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->run_id : "";
  }

  // A server that has that model takes over.
  void ReopenWith(const std::string& model) {
    Reopen();
    const absl::Status held =
        store_->HoldRuns([&](const RunInfo& run) -> std::string {
          if (run.provenance.model_digest == model) return "";
          return absl::StrCat("of model ", run.provenance.model_digest);
        });
    EXPECT_TRUE(held.ok()) << held;
  }

  std::pair<int64_t, int64_t> WaitingAndHeld() {
    const auto status = store_->GetStatus();
    EXPECT_TRUE(status.ok()) << status.status();
    return {status->samples_waiting, status->samples_held};
  }
};

TEST_F(HeldRunsTest, TheirSamplesWaitAndTheOthersRun) {
  const std::string old = CreateOf("m1", "old");
  ASSERT_TRUE(Submit(old, TestSamples("a", 3)).ok());
  ReopenWith("m2");
  EXPECT_EQ(Info(old).held, "of model m1");
  EXPECT_EQ(store_->ListRuns(10, "")->first.front().held, "of model m1");
  const std::string own = CreateOf("m2", "own");
  EXPECT_EQ(Info(own).held, "");
  ASSERT_TRUE(Submit(own, TestSamples("b", 2)).ok());
  EXPECT_EQ(store_->SamplesAhead(own).value(), 0);
  EXPECT_EQ(WaitingAndHeld(), std::pair(int64_t{2}, int64_t{3}));
  EXPECT_EQ(Lease().sample.id, "b0");
  EXPECT_EQ(Lease().sample.id, "b1");
  EXPECT_EQ(WaitingAndHeld(), std::pair(int64_t{0}, int64_t{3}));

  // Nothing is left to lease, until something comes.
  std::thread later(
      [&] { EXPECT_TRUE(Submit(own, TestSamples("c", 1)).ok()); });
  EXPECT_EQ(Lease().sample.id, "c0");
  later.join();

  // The server as it was goes on where it had come to.
  ReopenWith("m1");
  EXPECT_EQ(Info(old).held, "");
  EXPECT_EQ(Info(own).held, "of model m2");
  EXPECT_EQ(Lease().sample.id, "a0");
}

TEST_F(HeldRunsTest, TheyTakeNoNewSamplesAndSayWhy) {
  const std::string old = CreateOf("m1", "old");
  ASSERT_TRUE(Submit(old, TestSamples("a", 1)).ok());
  ReopenWith("m2");
  const auto refused = Submit(old, TestSamples("a", 2), true);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(refused.status()), "RUN_HELD");
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("of model m1"));
  EXPECT_EQ(Info(old).samples_submitted, 1);
  // What it has, it has, and a lost reply can be asked for again.
  EXPECT_THAT(*Submit(old, TestSamples("a", 1), true),
              ElementsAre(SubmitOutcome::kDuplicate));
  EXPECT_TRUE(Info(old).complete);
  EXPECT_EQ(Info(old).held, "of model m1");
  EXPECT_EQ(TryCreate(TestRun("old"))->held, "of model m1");
}

// All that it has is computed: it was only never said that no more follows.
TEST_F(HeldRunsTest, OneThatIsDoneCanStillEnd) {
  const std::string old = CreateOf("m1", "old");
  ASSERT_TRUE(Submit(old, TestSamples("a", 1)).ok());
  Append(Lease(), {make_.Start(), make_.Result()});
  Flush();
  ReopenWith("m2");
  EXPECT_FALSE(IsTerminal(Info(old).state));
  ASSERT_TRUE(Submit(old, {}, true).ok());
  EXPECT_EQ(Info(old).state, RunState::kSucceeded);
}

TEST_F(HeldRunsTest, CancelAndTimeLimitsEndThem) {
  NewRun limited = TestRun("limited");
  limited.provenance.model_digest = "m1";
  limited.time_limit = absl::Milliseconds(200);
  const std::string late = TryCreate(std::move(limited))->run_id;
  ASSERT_TRUE(Submit(late, TestSamples("l", 1)).ok());
  const std::string old = CreateOf("m1", "old");
  ASSERT_TRUE(Submit(old, TestSamples("a", 3)).ok());
  ReopenWith("m2");
  const std::string own = CreateOf("m2", "own");
  ASSERT_TRUE(Submit(own, TestSamples("b", 2)).ok());
  EXPECT_EQ(Cancel(old)->state, RunState::kCancelled);
  EXPECT_EQ(Info(old).held, "");
  while (!IsTerminal(Info(late).state)) absl::SleepFor(absl::Milliseconds(5));
  Flush();
  EXPECT_EQ(WaitingAndHeld(), std::pair(int64_t{2}, int64_t{0}));
  EXPECT_EQ(Lease().sample.id, "b0");
  EXPECT_EQ(WaitingAndHeld(), std::pair(int64_t{1}, int64_t{0}));
}

class HeldQueueObserver : public StoreObserver {
 public:
  void OnQueue(const QueueSize& size) override {
    const std::lock_guard lock(mutex_);
    size_ = size;
  }
  std::vector<int64_t> size() {
    const std::lock_guard lock(mutex_);
    return {size_.waiting, size_.running, size_.held, size_.waiting_tokens};
  }

 private:
  std::mutex mutex_;
  QueueSize size_;
};

// Between samples that are held others wait, and come back there.
TEST_F(HeldRunsTest, TheQueueIsCountedAndGoneThroughWithoutThem) {
  HeldQueueObserver observer;
  options_.observer = &observer;
  Reopen();
  const std::string own = CreateOf("m2", "own");
  const std::string old = CreateOf("m1", "old");
  const std::string older = CreateOf("m1", "older");
  ASSERT_TRUE(Submit(old, TestSamples("a", 2)).ok());
  ASSERT_TRUE(Submit(own, TestSamples("b", 1)).ok());
  ASSERT_TRUE(Submit(older, TestSamples("c", 3)).ok());
  const int64_t tokens = observer.size()[3] / 6;
  ReopenWith("m2");
  EXPECT_THAT(observer.size(), ElementsAre(1, 0, 5, tokens));
  const LeasedSample leased = Lease();
  EXPECT_EQ(leased.sample.id, "b0");
  EXPECT_THAT(observer.size(), ElementsAre(0, 1, 5, 0));
  ASSERT_TRUE(Submit(own, TestSamples("d", 1)).ok());
  EXPECT_EQ(Lease().sample.id, "d0");
  store_->Release(leased);
  EXPECT_EQ(Lease().sample.id, "b0");
  ASSERT_TRUE(Cancel(older).ok());
  EXPECT_THAT(observer.size(), ElementsAre(0, 2, 2, 0));
  ASSERT_TRUE(Cancel(old).ok());
  EXPECT_THAT(observer.size(), ElementsAre(0, 2, 0, 0));
  store_.reset();
}

// Nothing can be leased: nobody looks again and again.
TEST_F(HeldRunsTest, AnIdleEngineRests) {
  const std::string old = CreateOf("m1", "old");
  ASSERT_TRUE(Submit(old, TestSamples("a", 3)).ok());
  ReopenWith("m2");
  std::thread engine([&] {
    EXPECT_EQ(store_->Lease().status().code(), absl::StatusCode::kCancelled);
  });
  Flush();
  const auto processor_time = [] {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return absl::DurationFromTimespec(time);
  };
  const absl::Duration before = processor_time();
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_LT(processor_time() - before, absl::Milliseconds(150));
  store_->StopLeasing();
  engine.join();
}

TEST_F(HeldRunsTest, TheyTakeNobodysPlaceInTheQueue) {
  const std::string old = CreateOf("m1", "old");
  ASSERT_TRUE(Submit(old, TestSamples("a", 3)).ok());
  options_.limits.samples = 2;
  ReopenWith("m2");
  const std::string own = CreateOf("m2", "own");
  EXPECT_THAT(*Submit(own, TestSamples("b", 3)),
              ElementsAre(SubmitOutcome::kAccepted, SubmitOutcome::kAccepted,
                          SubmitOutcome::kQueueFull));
}

// What ran when the other server died is one of those.
TEST_F(HeldRunsTest, ASampleThatRanIsHeldToo) {
  const std::string old = CreateOf("m1", "old");
  ASSERT_TRUE(Submit(old, TestSamples("a", 1), true).ok());
  Append(Lease(), {make_.Start(), make_.Step(1)});
  Flush();
  ReopenWith("m2");
  EXPECT_EQ(WaitingAndHeld(), std::pair(int64_t{0}, int64_t{1}));
  EXPECT_EQ(Events(old).size(), 2u);
  ReopenWith("m1");
  EXPECT_EQ(Lease().attempt, 2);
}

}  // namespace
}  // namespace kvrecall
