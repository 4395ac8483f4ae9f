// Runs with a time limit: what ends when it passes, what stays, and what
// clocks, restarts and the disk have to do with it.

#include "server/store/deadlines.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "server/store/calls.h"
#include "server/store/event_log.h"
#include "server/store/group_commit.h"
#include "server/store/run_queue.h"
#include "tests/fault/faulty_disk.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kNever = absl::Hours(24 * 366);
// What a test does first takes some milliseconds.
constexpr absl::Duration kSoon = absl::Milliseconds(500);
constexpr absl::Duration kAtOnce = absl::Microseconds(1);

SampleFailure FailureAfter(const std::string& limit) {
  return {"DEADLINE_EXCEEDED", "the run's time limit of " + limit +
                                   " passed before this sample ended"};
}

class DeadlinesTest : public StoreTest {
 protected:
  // Processes die in these tests, machines do not.
  DeadlinesTest() {
    options_.writer.synchronous = WriterOptions::Synchronous::kNormal;
  }

  std::string CreateWithin(absl::Duration limit,
                           const std::string& request_id = "request") {
    NewRun run = TestRun(request_id);
    run.time_limit = limit;
    const auto made = TryCreate(std::move(run));
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->run_id : "";
  }

  RunInfo WaitForEnd(const std::string& run) {
    while (!IsTerminal(Info(run).state)) std::this_thread::yield();
    return Info(run);
  }

  // Moves the run's deadline into the past, as if it had passed while no server
  // ran, and starts one.
  void ReopenAfterDeadline(const std::string& run) {
    store_.reset();
    {
      const auto database = OpenForWriting(path_, {});
      ASSERT_TRUE(database.ok()) << database.status();
      ASSERT_TRUE((*database)
                      ->Run("UPDATE runs SET created_us = created_us - "
                            "7200000000, deadline_us = created_us - 3600000000 "
                            "WHERE run_id = ?1",
                            run)
                      .ok());
    }
    Open();
  }

  std::vector<SampleInfo> Samples(const std::string& run) {
    const auto reader = RecordsReader::Open(path_);
    EXPECT_TRUE(reader.ok()) << reader.status();
    const auto samples = (*reader)->ListSamples(run, 0, 1'000'000);
    EXPECT_TRUE(samples.ok()) << samples.status();
    return samples.value_or(std::vector<SampleInfo>());
  }
};

TEST_F(DeadlinesTest, ARunSaysWhenItsTimeIsOver) {
  const RunInfo limited = Info(CreateWithin(absl::Hours(2)));
  EXPECT_EQ(limited.deadline, limited.create_time + absl::Hours(2));
  EXPECT_EQ(Info(Create("other")).deadline, std::nullopt);
  const auto page = store_->ListRuns(10, "");
  EXPECT_EQ(page->first[0].deadline, std::nullopt);
  EXPECT_EQ(page->first[1].deadline, limited.deadline);
  // Again the same run, with the deadline that it has.
  NewRun again = TestRun("request");
  again.time_limit = absl::Hours(2);
  EXPECT_EQ(TryCreate(again)->deadline, limited.deadline);
}

TEST_F(DeadlinesTest, AQueuedRunEndsWithoutHavingStarted) {
  const std::string run = CreateWithin(kSoon);
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
  const RunInfo info = WaitForEnd(run);
  EXPECT_EQ(info.state, RunState::kFailed);
  EXPECT_EQ(info.samples_failed, 2);
  EXPECT_GE(*info.end_time, *info.deadline);
  EXPECT_THAT(Events(run),
              ElementsAre(Event{1, "a", 1, FailureAfter("500ms")},
                          Event{2, "b", 1, FailureAfter("500ms")},
                          Event{3, "", 1, RunEnd{RunState::kFailed, 0, 2}}));
  for (const SampleInfo& sample : Samples(run)) {
    EXPECT_EQ(sample.state, SampleState::kFailed);
    EXPECT_EQ(sample.failure, FailureAfter("500ms"));
    EXPECT_EQ(sample.attempt, 1);
    EXPECT_EQ(sample.start, std::nullopt);
  }
  // Nothing of it is left to be leased.
  const std::string next = Create("next");
  ASSERT_TRUE(Submit(next, {TestSample("z")}).ok());
  EXPECT_EQ(Lease().sample.id, "z");
}

TEST_F(DeadlinesTest, WhatRunsIsToldAndKeepsItsRecords) {
  const std::string run = CreateWithin(kSoon);
  ASSERT_TRUE(Submit(run,
                     {TestSample("a"), TestSample("b"), TestSample("c"),
                      TestSample("d")},
                     true)
                  .ok());
  Append(Lease(), {make_.Start(), make_.Result()});
  const LeasedSample running = Lease();
  Append(running, {make_.Start(), make_.Step(1)});
  const LeasedSample preparing = Lease();
  EXPECT_FALSE(*running.cancelled);
  const RunInfo info = WaitForEnd(run);
  Flush();  // its leases are told after the commit
  EXPECT_TRUE(*running.cancelled);
  EXPECT_TRUE(*preparing.cancelled);
  // What the engine does before it looks comes to nothing.
  Append(running, {make_.Step(2), make_.Result()});
  Append(preparing, {make_.Start()});
  store_->Release(preparing);
  Flush();
  EXPECT_EQ(info.state, RunState::kPartiallyFailed);
  EXPECT_EQ(info.samples_done, 1);
  EXPECT_EQ(info.samples_failed, 3);
  EXPECT_EQ(Info(run).last_sequence, 8);
  const std::vector<Event> events = Events(run);
  ASSERT_THAT(events, SizeIs(8));
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(events[i].sequence, i + 1);
  EXPECT_TRUE(std::holds_alternative<StepRecord>(events[3].body));
  EXPECT_EQ(events[4], (Event{5, "b", 1, FailureAfter("500ms")}));
  EXPECT_EQ(events[5], (Event{6, "c", 1, FailureAfter("500ms")}));
  EXPECT_EQ(events[6], (Event{7, "d", 1, FailureAfter("500ms")}));
  EXPECT_EQ(events[7],
            (Event{8, "", 1, RunEnd{RunState::kPartiallyFailed, 1, 3}}));
  EXPECT_EQ(Samples(run)[0].state, SampleState::kDone);
  EXPECT_TRUE(Samples(run)[1].start.has_value());
}

// The failure belongs to the attempt that was under way: readers use a sample's
// last one.
TEST_F(DeadlinesTest, TheFailureIsOfTheLastAttempt) {
  const std::string run = CreateWithin(kNever);
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  for (int i = 0; i < 2; ++i) {
    const LeasedSample leased = Lease();
    ASSERT_EQ(leased.sample.id, "a");
    Append(leased, {make_.Start()});
    Flush();
    store_->Release(leased);
  }
  Lease();  // "a" once more, without an event
  ReopenAfterDeadline(run);
  const std::vector<Event> events = Events(run);
  ASSERT_THAT(events, SizeIs(5));
  EXPECT_EQ(events[2], (Event{3, "a", 2, FailureAfter("1h")}));
  EXPECT_EQ(events[3], (Event{4, "b", 1, FailureAfter("1h")}));
  EXPECT_EQ(Samples(run)[0].attempt, 2);
}

TEST_F(DeadlinesTest, ARunWhoseClientNeverFinishedSubmittingEndsToo) {
  const std::string none = CreateWithin(kAtOnce, "none");
  EXPECT_EQ(WaitForEnd(none).state, RunState::kFailed);
  EXPECT_THAT(Events(none),
              ElementsAre(Event{1, "", 1, RunEnd{RunState::kFailed, 0, 0}}));
  EXPECT_FALSE(Info(none).complete);

  const std::string some = CreateWithin(kSoon, "some");
  ASSERT_TRUE(Submit(some, {TestSample("a")}).ok());
  Append(Lease(), {make_.Result()});
  EXPECT_EQ(WaitForEnd(some).state, RunState::kPartiallyFailed);
  EXPECT_EQ(Info(some).samples_failed, 0);

  // As with other runs that have ended.
  EXPECT_THAT(*Submit(some, {TestSample("a")}, true),
              ElementsAre(SubmitOutcome::kDuplicate));
  const absl::Status late = Submit(some, {TestSample("b")}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(late)) << late;
  EXPECT_THAT(std::string(late.message()),
              HasSubstr("has ended (partially_failed)"));
}

TEST_F(DeadlinesTest, ALimitThatPassedWhileNoServerRanEndsTheRunAtTheStart) {
  const std::string run = CreateWithin(kNever, "old");
  const std::string other = CreateWithin(kNever, "young");
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  ASSERT_TRUE(Submit(other, {TestSample("z")}, true).ok());
  ReopenAfterDeadline(run);
  EXPECT_EQ(Info(run).state, RunState::kFailed);
  EXPECT_THAT(Events(run), SizeIs(2));
  EXPECT_EQ(Lease().sample.id, "z");
  EXPECT_EQ(store_->GetStatus()->samples_waiting, 0);
}

TEST_F(DeadlinesTest, ALimitThatPassesAfterARestartEndsTheRun) {
  const std::string run = CreateWithin(kSoon);
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  Reopen();
  EXPECT_GE(*WaitForEnd(run).end_time, *Info(run).deadline);
  EXPECT_EQ(Info(run).samples_failed, 1);
}

TEST_F(DeadlinesTest, TheShorterLimitPassesFirstThoughItCameLater) {
  const std::string never = CreateWithin(kNever, "never");
  const std::string longer = CreateWithin(kSoon, "longer");
  const std::string shorter = CreateWithin(kAtOnce, "shorter");
  EXPECT_LT(*WaitForEnd(shorter).end_time, *WaitForEnd(longer).end_time);
  EXPECT_EQ(Info(never).state, RunState::kQueued);
}

TEST_F(DeadlinesTest, ARunThatEndedBeforeItsTimeIsLeftAsItIs) {
  const std::string done = CreateWithin(kSoon, "done");
  const std::string cancelled = CreateWithin(kSoon, "gone");
  const std::string deleted = CreateWithin(kSoon, "deleted");
  ASSERT_TRUE(Submit(done, {TestSample("a")}, true).ok());
  Append(Lease(), {make_.Result()});
  ASSERT_TRUE(Submit(cancelled, {TestSample("b")}, true).ok());
  ASSERT_TRUE(Cancel(cancelled).ok());
  ASSERT_TRUE(Cancel(deleted).ok());
  ASSERT_TRUE(Await<absl::StatusOr<DeletedRun>>([&](auto done) {
                store_->DeleteRun(deleted, std::move(done));
              }).ok());
  // Its limit passes after theirs.
  WaitForEnd(CreateWithin(kSoon, "last"));
  EXPECT_EQ(Info(done).state, RunState::kSucceeded);
  EXPECT_THAT(Events(done), SizeIs(2));
  EXPECT_EQ(Info(cancelled).state, RunState::kCancelled);
  EXPECT_THAT(Events(cancelled), SizeIs(1));
  EXPECT_TRUE(absl::IsNotFound(store_->GetRun(deleted).status()));
}

TEST_F(DeadlinesTest, ManyWaitingSamplesFailTogether) {
  constexpr int kSamples = 5000;
  const std::string run = CreateWithin(kNever);
  std::vector<Sample> samples;
  for (int i = 0; i < kSamples; ++i)
    samples.push_back(TestSample(std::to_string(i)));
  ASSERT_TRUE(Submit(run, std::move(samples), true).ok());
  Append(Lease(), {make_.Start(), make_.Step(1)});
  ReopenAfterDeadline(run);
  EXPECT_EQ(Info(run).samples_failed, kSamples);
  const std::vector<Event> events = Events(run);
  ASSERT_THAT(events, SizeIs(kSamples + 3));
  for (int i = 0; i < kSamples; ++i)
    ASSERT_EQ(events[i + 2],
              (Event{i + 3, std::to_string(i), 1, FailureAfter("1h")}));
}

class DeadlineDiskTest : public DeadlinesTest {
 protected:
  void SetUp() override {
    disk_ = std::make_unique<FaultyDisk>();
    Open();
  }
  void TearDown() override { store_.reset(); }

  std::unique_ptr<FaultyDisk> disk_;
};

TEST_F(DeadlineDiskTest, ADiskThatFailsDelaysTheEndUntilItIsMended) {
  const std::string run = CreateWithin(kSoon);
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  const LeasedSample running = Lease();
  Append(running, {make_.Start()});
  Flush();
  disk_->FailAt(1, DiskFault::kFull, /*lasting=*/true);
  while (disk_->faults() < 3) std::this_thread::yield();
  EXPECT_FALSE(IsTerminal(Info(run).state));
  // What is not committed has not happened.
  EXPECT_FALSE(*running.cancelled);
  disk_->Mend();
  EXPECT_EQ(WaitForEnd(run).samples_failed, 1);
  EXPECT_THAT(Events(run), SizeIs(3));
}

// Of the store only what Deadlines needs, so that its clock can be set.
class DeadlineClockTest : public StoreTest {
 protected:
  void SetUp() override {
    auto database = OpenForWriting(path_, {});
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    log_ = std::make_unique<EventLog>(database_.get());
    runs_ = std::make_unique<RunRows>(database_.get());
    samples_ = std::make_unique<SampleQueue>(database_.get(), log_.get());
    queue_ =
        std::make_unique<RunQueue>(database_.get(), log_.get(), runs_.get(),
                                   samples_.get(), &held_, QueueLimits{});
    deadlines_ = std::make_unique<Deadlines>(
        runs_.get(), queue_.get(),
        Deadlines::Options{absl::Milliseconds(1), [this] { return Wall(); }},
        Deadlines::Hooks{[this](const std::string&) { ++expired_; },
                         [](const absl::Status&) {}});
    ASSERT_TRUE(deadlines_->Recover().ok());
    writer_ = std::make_unique<GroupCommit>(
        database_.get(), GroupCommit::Options{absl::Milliseconds(1), 1, 1},
        [](const GroupCommit::Report&) {});
    deadlines_->Start(writer_.get());
  }
  void TearDown() override { writer_->Close(); }

  absl::Time Wall() const {
    return absl::FromUnixSeconds(wall_seconds_.load());
  }

  // As SqliteStore::CreateRun.
  void Add(const std::string& request_id, absl::Duration limit) {
    NewRun run = TestRun(request_id);
    run.time_limit = limit;
    const bool is_made = Await<bool>([&](auto done) {
      writer_->Post(CommandFor<RunInfo>(
          [&](Changes&) { return runs_->Create(run, Wall()); },
          [this, done](absl::StatusOr<RunInfo> made) mutable {
            if (made.ok()) deadlines_->Add(made->run_id, *made->deadline);
            done(made.ok());
          }));
    });
    ASSERT_TRUE(is_made);
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<EventLog> log_;
  HeldRuns held_;
  std::unique_ptr<RunRows> runs_;
  std::unique_ptr<SampleQueue> samples_;
  std::unique_ptr<RunQueue> queue_;
  std::unique_ptr<Deadlines> deadlines_;
  std::unique_ptr<GroupCommit> writer_;
  std::atomic<int64_t> wall_seconds_ = 1'700'000'000;
  std::atomic<int> expired_ = 0;
};

TEST_F(DeadlineClockTest, AWallClockThatIsSetEndsNoRunEarlyOrLate) {
  Add("far", absl::Hours(1));
  wall_seconds_ += 86400;
  Add("soon", absl::Milliseconds(50));
  wall_seconds_ -= 7 * 86400;
  while (expired_ < 1) std::this_thread::yield();
  wall_seconds_ += 365 * 86400;
  Add("next", absl::Milliseconds(50));
  while (expired_ < 2) std::this_thread::yield();
  // The first hour has not passed, whatever the wall says.
  writer_->Close();
  EXPECT_EQ(expired_, 2);
}

}  // namespace
}  // namespace kvrecall
