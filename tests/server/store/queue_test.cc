// Runs and their samples: making, queueing, leasing, cancelling, ending.

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/records_db/reader.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kAccepted = SubmitOutcome::kAccepted;
constexpr auto kDuplicate = SubmitOutcome::kDuplicate;
constexpr auto kQueueFull = SubmitOutcome::kQueueFull;

using QueueTest = StoreTest;

// Exactly as many as there is room for, whoever asks; those that run count, and
// those that have ended make room.
TEST_F(QueueTest, AFullQueueTakesExactlyItsLimit) {
  options_.limits.samples = 3;
  Reopen();
  const std::string run = Create();
  EXPECT_THAT(*Submit(run, {TestSample("a"), TestSample("b")}),
              ElementsAre(kAccepted, kAccepted));
  EXPECT_THAT(*Submit(run,
                      {TestSample("b"), TestSample("c"), TestSample("d"),
                       TestSample("e")},
                      /*complete=*/true),
              ElementsAre(kDuplicate, kAccepted, kQueueFull, kQueueFull));
  EXPECT_FALSE(Info(run).complete);  // there is more to come
  const LeasedSample leased = Lease();
  EXPECT_THAT(*Submit(run, {TestSample("d")}), ElementsAre(kQueueFull));
  Append(leased, {make_.Result()});
  Flush();
  EXPECT_THAT(*Submit(run, {TestSample("d"), TestSample("e")}, true),
              ElementsAre(kAccepted, kQueueFull));
  EXPECT_EQ(Info(run).samples_submitted, 4);
}

TEST_F(QueueTest, CreateIsIdempotentByRequest) {
  const auto first = TryCreate(TestRun("a"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->run_id.size(), 26u);
  EXPECT_EQ(first->state, RunState::kQueued);
  EXPECT_EQ(first->config, TestConfig());
  EXPECT_EQ(first->provenance, TestRun("a").provenance);
  EXPECT_EQ(TryCreate(TestRun("a"))->run_id, first->run_id);
  EXPECT_NE(TryCreate(TestRun("b"))->run_id, first->run_id);

  NewRun other = TestRun("a");
  other.body_digest = "another";
  EXPECT_TRUE(absl::IsAlreadyExists(TryCreate(other).status()));
}

TEST_F(QueueTest, WhatTheCallbackSaidCanBeRead) {
  const auto made = TryCreate(TestRun("a"));
  EXPECT_EQ(Info(made->run_id).create_time, made->create_time);
  EXPECT_EQ(store_->ListRuns(10, "")->first.size(), 1u);
  EXPECT_THAT(Events(made->run_id), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(store_->GetRun("nobody").status()));
}

TEST_F(QueueTest, SubmittingTwiceIsADuplicate) {
  const std::string run = Create();
  EXPECT_THAT(*Submit(run, {TestSample("a"), TestSample("b")}),
              ElementsAre(kAccepted, kAccepted));
  EXPECT_THAT(*Submit(run, {TestSample("b"), TestSample("c"), TestSample("c")}),
              ElementsAre(kDuplicate, kAccepted, kDuplicate));
  EXPECT_EQ(Info(run).samples_submitted, 3);
}

TEST_F(QueueTest, ASampleMayAskForItsPlaceInAStudy) {
  const std::string run = Create();
  const auto at = [](const char* id, int64_t ordinal) {
    Sample sample = TestSample(id);
    sample.ordinal = ordinal;
    return sample;
  };
  ASSERT_TRUE(Submit(run, {at("a", 3), at("b", 1)}).ok());
  ASSERT_TRUE(Submit(run, {at("c", 0), at("a", 9)}).ok());  // "a" is known
  const absl::Status taken = Submit(run, {at("d", 7), at("e", 1)}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(taken)) << taken;
  EXPECT_THAT(std::string(taken.message()),
              HasSubstr("sample 'e' is to have place 1, which sample 'b'"));
  auto reader = RecordsReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto samples = (*reader)->ListSamples(run, 0, 10);
  ASSERT_TRUE(samples.ok()) << samples.status();
  std::vector<std::pair<std::string, int64_t>> places;
  for (const SampleInfo& sample : *samples)
    places.emplace_back(sample.sample_id, sample.ordinal);
  EXPECT_EQ(places, (std::vector<std::pair<std::string, int64_t>>{
                        {"b", 1}, {"a", 3}, {"c", 4}}));
  EXPECT_EQ(Lease().sample.id, "a");  // the order of submission
}

TEST_F(QueueTest, ACompleteRunTakesNoNewSamples) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  EXPECT_THAT(*Submit(run, {TestSample("a")}, true), ElementsAre(kDuplicate));
  const absl::Status late =
      Submit(run, {TestSample("a"), TestSample("b")}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(late)) << late;
  EXPECT_EQ(Info(run).samples_submitted, 1);
}

// The answer to the last submission may be lost; its repetition is answered.
TEST_F(QueueTest, AnEndedRunTakesNoNewSamplesButKnowsItsOwn) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  Append(Lease(), {make_.Result()});
  Flush();
  ASSERT_EQ(Info(run).state, RunState::kSucceeded);
  EXPECT_THAT(*Submit(run, {TestSample("a")}, true), ElementsAre(kDuplicate));
  const absl::Status late = Submit(run, {TestSample("b")}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("succeeded"));
  EXPECT_TRUE(absl::IsNotFound(Submit("nobody", {}).status()));
}

TEST_F(QueueTest, ABadSampleAddsNothing) {
  const std::string run = Create();
  EXPECT_TRUE(absl::IsInvalidArgument(
      Submit(run, {TestSample("a"), TestSample("")}).status()));
  EXPECT_EQ(Info(run).samples_submitted, 0);
}

TEST_F(QueueTest, LeasesInOrderOfSubmission) {
  const std::string first = Create("1"), second = Create("2");
  ASSERT_TRUE(Submit(first, {TestSample("a")}).ok());
  ASSERT_TRUE(Submit(second, {TestSample("b")}).ok());
  ASSERT_TRUE(Submit(first, {TestSample("c")}).ok());
  for (const char* id : {"a", "b", "c"}) {
    const LeasedSample leased = Lease();
    EXPECT_EQ(leased.sample.id, id);
    EXPECT_EQ(leased.sample.context, TestSample(id).context);
    EXPECT_EQ(leased.config, TestConfig());
    EXPECT_EQ(leased.attempt, 1);
    EXPECT_FALSE(*leased.cancelled);
  }
  EXPECT_EQ(Info(first).state, RunState::kRunning);
}

TEST_F(QueueTest, LeaseWaitsForASample) {
  const std::string run = Create();
  std::string leased;
  std::thread engine([&] { leased = Lease().sample.id; });
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  engine.join();
  EXPECT_EQ(leased, "a");
}

TEST_F(QueueTest, ManyEnginesLeaseEachSampleOnce) {
  const std::string run = Create();
  std::mutex mutex;
  std::vector<std::string> ids;
  std::vector<std::thread> engines;
  for (int i = 0; i < 4; ++i) {
    engines.emplace_back([&] {
      while (true) {
        auto leased = store_->Lease();
        if (!leased.ok()) return;
        Append(*leased, {EventMaker(1).Result()});
        std::lock_guard lock(mutex);
        ids.push_back(leased->sample.id);
      }
    });
  }
  std::vector<std::string> expected;
  for (int i = 10; i < 40; ++i) {
    expected.push_back(std::to_string(i));
    ASSERT_TRUE(Submit(run, {TestSample(expected.back())}, i == 39).ok());
  }
  while (!IsTerminal(Info(run).state)) std::this_thread::yield();
  store_->StopLeasing();
  for (std::thread& engine : engines) engine.join();
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, expected);
}

TEST_F(QueueTest, StopLeasingWakesLease) {
  std::thread engine(
      [&] { EXPECT_TRUE(absl::IsCancelled(store_->Lease().status())); });
  store_->StopLeasing();
  engine.join();
  ASSERT_TRUE(Submit(Create(), {TestSample("a")}).ok());
  EXPECT_TRUE(absl::IsCancelled(store_->Lease().status()));
}

TEST_F(QueueTest, AReleasedSampleComesBackAsANewAttemptOnlyWithEvents) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  LeasedSample leased = Lease();
  store_->Release(leased);
  leased = Lease();
  EXPECT_EQ(leased.sample.id, "a");
  EXPECT_EQ(leased.attempt, 1);
  Append(leased, {make_.Start()});
  store_->Release(leased);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(store_->Append(leased, {make_.Step(1)})));
  leased = Lease();
  EXPECT_EQ(leased.sample.id, "a");
  EXPECT_EQ(leased.attempt, 2);
}

TEST_F(QueueTest, CancelDropsTheQueueAndTellsTheLeased) {
  const std::string run = Create("1"), other = Create("2");
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  ASSERT_TRUE(Submit(other, {TestSample("z")}).ok());
  const LeasedSample leased = Lease();
  Append(leased, {make_.Start()});
  const auto info = Cancel(run);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->state, RunState::kCancelled);
  EXPECT_TRUE(info->end_time.has_value());
  EXPECT_TRUE(*leased.cancelled);
  Append(leased, {make_.Step(1)});  // dropped
  store_->Release(leased);
  EXPECT_EQ(Lease().sample.id, "z");
  const auto events = Events(run);
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[1], (Event{2, "", 1, RunEnd{RunState::kCancelled, 0, 0}}));
  EXPECT_EQ(Cancel(run)->last_sequence, 2);
  EXPECT_TRUE(absl::IsNotFound(Cancel("nobody").status()));
}

TEST_F(QueueTest, CancelOfAQueuedRunEndsIt) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  EXPECT_EQ(Cancel(run)->state, RunState::kCancelled);
  store_->StopLeasing();
  EXPECT_THAT(Events(run), SizeIs(1));
}

struct EndCase {
  int done;
  int failed;
  RunState state;
};
class EndTest : public StoreTest,
                public ::testing::WithParamInterface<EndCase> {};

TEST_P(EndTest, ARunEndsWithItsLastSample) {
  const EndCase& end = GetParam();
  const std::string run = Create();
  std::vector<Sample> samples;
  for (int i = 0; i < end.done + end.failed; ++i) {
    samples.push_back(TestSample(std::to_string(i)));
  }
  ASSERT_TRUE(Submit(run, samples).ok());
  for (int i = 0; i < end.done + end.failed; ++i) {
    Append(Lease(), {i < end.done ? make_.Result() : EventMaker::Failure()});
  }
  Flush();
  EXPECT_FALSE(IsTerminal(Info(run).state));
  ASSERT_TRUE(Submit(run, {}, true).ok());
  const RunInfo info = Info(run);
  EXPECT_EQ(info.state, end.state);
  EXPECT_EQ(info.samples_done, end.done);
  EXPECT_EQ(info.samples_failed, end.failed);
  EXPECT_TRUE(info.complete && info.end_time.has_value());
  EXPECT_EQ(Events(run).back(),
            (Event{info.last_sequence, "", 1,
                   RunEnd{end.state, end.done, end.failed}}));
  EXPECT_EQ(Cancel(run)->state, end.state);
}

INSTANTIATE_TEST_SUITE_P(States, EndTest,
                         ::testing::Values(EndCase{0, 0, RunState::kSucceeded},
                                           EndCase{2, 0, RunState::kSucceeded},
                                           EndCase{1, 1,
                                                   RunState::kPartiallyFailed},
                                           EndCase{0, 2, RunState::kFailed}));

class QueueObserver : public StoreObserver {
 public:
  void OnOpened(int64_t servers) override { earlier_servers = servers; }
  void OnCommit(const CommitReport& commit) override {
    const std::lock_guard lock(mutex_);
    committed += commit.events;
    ended_.Add(commit.ended);
    appended_.insert(appended_.end(), commit.appended.begin(),
                     commit.appended.end());
  }
  void OnRefused(const std::vector<Event>& events) override {
    refused += std::ssize(events);
  }
  void OnQueue(const QueueSize& size) override {
    waiting = size.waiting;
    running = size.running;
    waiting_tokens = size.waiting_tokens;
  }
  void OnDatabaseFault(DatabaseFault fault) override {
    busy += fault == DatabaseFault::kBusy;
  }
  SampleEnds ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  // That an engine made.
  std::vector<AppendedEvents> from_engine() {
    const std::lock_guard lock(mutex_);
    std::vector<AppendedEvents> batches = appended_;
    std::erase_if(batches, [](const AppendedEvents& batch) {
      return batch.config == nullptr;
    });
    return batches;
  }
  std::atomic<int64_t> committed = 0, refused = 0, waiting = -1, running = -1,
                       waiting_tokens = -1, earlier_servers = -1, busy = 0;

 private:
  std::mutex mutex_;
  SampleEnds ended_;
  std::vector<AppendedEvents> appended_;
};

class ObserverTest : public StoreTest {
 protected:
  void SetUp() override {
    options_.observer = &observer_;
    Open();
  }
  void TearDown() override { store_.reset(); }

  // What the database has in its queue, of tokens.
  int64_t QueuedTokens() {
    const auto database = Database::Open(path_, {.read_only = true});
    EXPECT_TRUE(database.ok()) << database.status();
    return (*database)
        ->QueryInt(
            "SELECT coalesce(sum(cost), 0) FROM samples WHERE state = 'queued'")
        .value_or(-1);
  }
  void ExpectQueue(int64_t waiting, int64_t running) {
    EXPECT_EQ(observer_.waiting, waiting);
    EXPECT_EQ(observer_.running, running);
    EXPECT_EQ(observer_.waiting_tokens, QueuedTokens());
  }

  QueueObserver observer_;
};

TEST_F(ObserverTest, ItKnowsTheQueue) {
  ExpectQueue(0, 0);
  const std::string run = Create();
  Sample longer = TestSample("b");
  longer.context += std::string(4000, 'x');
  ASSERT_TRUE(Submit(run, {TestSample("a"), longer, TestSample("c")}).ok());
  ExpectQueue(3, 0);
  EXPECT_GT(observer_.waiting_tokens, 1000);
  const LeasedSample leased = Lease();
  ExpectQueue(2, 1);
  store_->Release(leased);
  Flush();
  ExpectQueue(3, 0);
  const LeasedSample again = Lease();
  Append(again, {make_.Start(), make_.Result()});
  Flush();
  ExpectQueue(2, 0);
  EXPECT_EQ(observer_.committed, 2);
  Reopen();
  ExpectQueue(2, 0);
  EXPECT_EQ(observer_.earlier_servers, 1);
  ASSERT_TRUE(Cancel(run).ok());
  ExpectQueue(0, 0);
  EXPECT_EQ(observer_.waiting_tokens, 0);
}

TEST_F(ObserverTest, ItHearsHowSamplesEnd) {
  const std::string run = Create();
  std::vector<Sample> samples;
  for (const char* id : {"a", "b", "c", "d", "e"})
    samples.push_back(TestSample(id));
  ASSERT_TRUE(Submit(run, samples).ok());
  const auto end = [&](decltype(Event::body) body) {
    Event event;
    event.body = std::move(body);
    Append(Lease(), {std::move(event)});
  };
  SampleResult result;
  result.finish_reason = FinishReason::kEos;
  end(result);
  result.finish_reason = FinishReason::kLength;
  end(result);
  end(SampleFailure{"OUT_OF_MEMORY", "no room"});
  Lease();
  ASSERT_TRUE(Cancel(run).ok());  // one leased, one queued
  SampleEnds ends = observer_.ended();
  EXPECT_EQ(ends.ok, 1);
  EXPECT_EQ(ends.length, 1);
  EXPECT_EQ(ends.failed, 1);
  EXPECT_EQ(ends.cancelled, 2);
  EXPECT_EQ(ends.deadline, 0);
  EXPECT_EQ(ends.reused, 0);

  NewRun limited = TestRun("limited");
  limited.time_limit = absl::Milliseconds(1);
  const auto made = TryCreate(limited);
  ASSERT_TRUE(made.ok()) << made.status();
  // Either it is refused because the run has ended, or it ends with that.
  const bool accepted = Submit(made->run_id, {TestSample("a")}).status().ok();
  while (!Info(made->run_id).end_time.has_value()) Flush();
  EXPECT_EQ(observer_.ended().deadline, accepted ? 1 : 0);
}

TEST_F(ObserverTest, ItHearsOfRecordsWithTheirRunsConfig) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  const LeasedSample one = Lease();
  const std::vector<Event> first = {make_.Start(), make_.Step(1)};
  const std::vector<Event> last = {make_.Step(2), make_.Result()};
  Append(one, first);
  Flush();
  Append(one, last);
  const LeasedSample two = Lease();
  Append(two, {make_.Start()});
  Flush();
  ASSERT_TRUE(Cancel(run).ok());
  Append(two, {make_.Step(1)});  // dropped
  Flush();
  const std::vector<AppendedEvents> batches = observer_.from_engine();
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(*batches[0].config, TestConfig());
  EXPECT_EQ(batches[1].config, batches[0].config);
  EXPECT_NE(batches[2].config, batches[0].config);
  EXPECT_EQ(*batches[2].config, TestConfig());
  EXPECT_EQ((*batches[0].events)[1].body, first[1].body);
  EXPECT_EQ((*batches[1].events)[0].body, last[0].body);
  EXPECT_EQ((*batches[1].events)[1].body, last[1].body);
}

// Steps that were made twice were made twice.
TEST_F(ObserverTest, ItHearsOfEachAttempt) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample first = Lease();
  Append(first, {make_.Start(), make_.Step(1)});
  store_->Release(first);
  const LeasedSample second = Lease();
  EXPECT_EQ(second.attempt, 2);
  Append(second, {make_.Start(), make_.Step(1), make_.Result()});
  Flush();
  const std::vector<AppendedEvents> batches = observer_.from_engine();
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].attempt, 1);
  EXPECT_EQ(batches[0].events->size(), 2u);
  EXPECT_EQ(batches[1].attempt, 2);
  EXPECT_EQ(batches[1].events->size(), 3u);
}

// Another process had the lock, and they were tried again.
TEST_F(ObserverTest, ItHearsOfEachRecordOnceHoweverLate) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  store_.reset();
  options_.writer.busy_timeout = absl::Milliseconds(1);
  Open();
  const LeasedSample leased = Lease();
  auto other = Database::Open(path_, {});
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)->Exec("BEGIN IMMEDIATE").ok());
  Append(leased, {make_.Start()});
  Append(leased, {make_.Step(1), make_.Step(2)});
  while (observer_.busy < 2) std::this_thread::yield();
  EXPECT_EQ(observer_.from_engine().size(), 0u);
  ASSERT_TRUE((*other)->Exec("ROLLBACK").ok());
  Append(leased, {make_.Result()});
  while (Info(run).last_sequence < 4) std::this_thread::yield();
  const std::vector<AppendedEvents> batches = observer_.from_engine();
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0].first, 1);
  EXPECT_EQ(batches[1].first, 2);
  EXPECT_EQ(batches[2].first, 4);
}

TEST_F(ObserverTest, ItHearsOfRecordsThatAreRefused) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  Event step = make_.Step(1);
  std::get<StepRecord>(step.body).entropy =
      std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(absl::IsInvalidArgument(
      store_->Append(leased, {make_.Start(), std::move(step)})));
  EXPECT_EQ(observer_.refused, 2);
  Append(leased, {make_.Start()});
  Flush();
  EXPECT_EQ(observer_.refused, 2);
}

TEST_F(ObserverTest, ItHearsThatRecordsWereReused) {
  NewRun first = TestRun("first");
  first.may_reuse = true;
  const std::string source = TryCreate(first)->run_id;
  ASSERT_TRUE(Submit(source, {TestSample("a")}, true).ok());
  Append(Lease(), {make_.Start(), make_.Step(1), make_.Result()});
  Flush();
  NewRun second = TestRun("second");
  second.may_reuse = true;
  const std::string run = TryCreate(second)->run_id;
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  EXPECT_EQ(Lease().sample.id, "b");  // the first needs no engine
  const SampleEnds ends = observer_.ended();
  EXPECT_EQ(ends.reused, 1);
  EXPECT_EQ(ends.ok + ends.length, 2);
  EXPECT_EQ(observer_.from_engine().size(), 1u);  // of the first run
}

// Another process holds the lock for longer than the store waits.
TEST_F(ObserverTest, ItHearsOfStatementsThatFail) {
  store_.reset();
  options_.writer.busy_timeout = absl::ZeroDuration();
  Open();
  EXPECT_EQ(observer_.busy, 0);
  auto other = Database::Open(path_, {});
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)->Exec("BEGIN IMMEDIATE").ok());
  EXPECT_TRUE(absl::IsUnavailable(TryCreate(TestRun("a")).status()));
  EXPECT_GE(observer_.busy, 1);
  ASSERT_TRUE((*other)->Exec("ROLLBACK").ok());
}

}  // namespace
}  // namespace kvrecall
