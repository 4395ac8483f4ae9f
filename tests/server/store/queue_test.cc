// Runs and their samples: making, queueing, leasing, cancelling, ending.

#include <algorithm>
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

}  // namespace
}  // namespace kvrecall
