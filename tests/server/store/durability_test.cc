// What a crash, a full disk, a lock and a second server do.

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/error_reason.h"
#include "common/records_db/schema.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class DurabilityTest : public StoreTest {
 protected:
  // Runs `body` in a process that ends without any clean-up.
  template <typename Body>
  void InKilledProcess(Body body) {
    store_.reset();
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Open();
      body();
      _exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    Open();
  }
};

// What was acknowledged is there; the sample that ran is queued again, and
// counts as a new attempt.
TEST_F(DurabilityTest, AKilledServerLosesNothingThatItAcknowledged) {
  const std::string run = Create();
  InKilledProcess([&] {
    ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
    const LeasedSample leased = Lease();
    Append(leased, {make_.Start(), make_.Step(1)});
    Flush();
  });
  if (HasFatalFailure()) return;
  EXPECT_THAT(Events(run), SizeIs(2));
  const LeasedSample again = Lease();
  EXPECT_EQ(again.sample.id, "a");
  EXPECT_EQ(again.attempt, 2);
  Append(again, {make_.Start(), make_.Step(1), make_.Result()});
  const LeasedSample next = Lease();
  EXPECT_EQ(next.attempt, 1);
  Append(next, {make_.Result()});
  Flush();
  const std::vector<Event> events = Events(run);
  ASSERT_THAT(events, SizeIs(7));
  EXPECT_EQ(events[1].attempt, 1);
  EXPECT_EQ(events[2].attempt, 2);
  EXPECT_EQ(Info(run).state, RunState::kSucceeded);
}

// A sample that takes the server with it must not do so for ever; one that only
// waited its turn beside it is no part of that.
TEST_F(DurabilityTest, ASampleThatServersDiedOfThreeTimesIsFailed) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
  for (int64_t death = 1; death <= 3; ++death) {
    InKilledProcess([&] {
      const LeasedSample poison = Lease();
      ASSERT_EQ(poison.sample.id, "a");
      ASSERT_EQ(poison.attempt, death);
      Lease();  // the next one, which is being prepared
      Append(poison, {make_.Start()});
      Flush();
    });
    if (HasFatalFailure()) return;
  }
  const Event end = Events(run).back();
  ASSERT_TRUE(std::holds_alternative<SampleFailure>(end.body));
  EXPECT_EQ(std::get<SampleFailure>(end.body).reason, "SERVER_DIED");
  EXPECT_EQ(end.sample_id, "a");
  EXPECT_EQ(Info(run).samples_failed, 1);
  const LeasedSample next = Lease();
  EXPECT_EQ(next.sample.id, "b");
  Append(next, {make_.Result()});
  Flush();
  EXPECT_EQ(Info(run).state, RunState::kPartiallyFailed);
}

// Its start never came to the disk, as when the tokenizer ends the process.
TEST_F(DurabilityTest, ASampleThatKillsBeforeItsFirstEventIsFailedToo) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
  for (int death = 1; death <= 3; ++death) {
    InKilledProcess([&] {
      ASSERT_EQ(Lease().sample.id, "a");
      ASSERT_EQ(Lease().sample.id, "b");
      Flush();
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(Info(run).samples_failed, 1);
  EXPECT_EQ(Events(run).back().sample_id, "a");
  EXPECT_EQ(Lease().sample.id, "b");
}

// A server that is stopped gives its sample back: that is no death.
TEST_F(DurabilityTest, SamplesThatWereGivenBackAreTriedAgainAsOftenAsItTakes) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  for (int stop = 1; stop <= 5; ++stop) {
    const LeasedSample leased = Lease();
    EXPECT_EQ(leased.attempt, stop);
    Append(leased, {make_.Start()});
    Flush();
    store_->Release(leased);
    Reopen();
  }
  EXPECT_EQ(Lease().attempt, 6);
}

// A disk with less than all the room there is.
TEST_F(DurabilityTest, ADiskNearlyFullTakesNoNewWorkAndIsRead) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  options_.min_free_bytes = INT64_MAX;
  Reopen();
  const auto refused = Submit(run, {TestSample("b")});
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  EXPECT_EQ(ReasonOf(refused.status()), "DISK_LOW");
  EXPECT_EQ(RetryAfterOf(refused.status()), absl::Seconds(30));
  EXPECT_EQ(Info(run).samples_submitted, 1);
  // What is there goes on, and may be declared complete.
  ASSERT_TRUE(Submit(run, {}, true).ok());
  Append(Lease(), {make_.Start(), make_.Step(1), make_.Result()});
  Flush();
  EXPECT_EQ(Info(run).state, RunState::kSucceeded);
  EXPECT_THAT(Events(run), SizeIs(4));
}

TEST_F(DurabilityTest, AReopenedStoreGoesOn) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  Reopen();
  EXPECT_EQ(Create(), run);  // the same request id
  Append(Lease(), {make_.Result()});
  Reopen();
  EXPECT_THAT(Events(run), SizeIs(1));
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal") &&
               std::filesystem::file_size(path_ + "-wal") > 0 && !store_);
}

// One file is left, which can be copied away.
TEST_F(DurabilityTest, CloseLeavesNoLog) {
  Create();
  EXPECT_TRUE(store_->GetRun(Create()).ok());
  EXPECT_TRUE(store_->Close().ok());
  EXPECT_TRUE(store_->Close().ok());
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
  EXPECT_TRUE(absl::IsUnavailable(TryCreate(TestRun("late")).status()));
  EXPECT_TRUE(absl::IsCancelled(store_->Lease().status()));
  EXPECT_TRUE(store_->ListRuns(1, "").ok());
}

TEST_F(DurabilityTest, ASecondServerIsRefused) {
  const absl::Status second = OpenSqliteStore(path_, options_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second)) << second;
  EXPECT_THAT(std::string(second.message()), HasSubstr(path_));
  EXPECT_THAT(std::string(second.message()), HasSubstr("in use"));
  Create();
}

TEST_F(DurabilityTest, WhatIsNoDatabaseIsRefused) {
  const std::string text = dir_.File("notes.txt");
  std::ofstream(text) << std::string(5000, 'n');
  EXPECT_TRUE(absl::IsDataLoss(OpenSqliteStore(text, options_).status()));
  const absl::Status folder = OpenSqliteStore(dir_.path(), options_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(folder)) << folder;
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + ".lock"));
  EXPECT_TRUE(absl::IsNotFound(
      OpenSqliteStore(dir_.File("none/runs.db"), options_).status()));
}

class FullDiskTest : public DurabilityTest {
 protected:
  void SetUp() override {
    options_.writer.max_bytes = 1 << 20;
    Open();
  }
  Sample Huge(const std::string& id) {
    Sample sample = TestSample(id);
    sample.context = std::string(2 << 20, 'x');
    return sample;
  }
};

// In one transaction, the call that does not fit fails; those beside it do
// not.
TEST_F(FullDiskTest, OnlyWhatDoesNotFitFails) {
  const std::string run = Create();
  absl::Status before, huge, after;
  store_->CreateRun(TestRun("hold"), [&](const auto&) {
    // On the writer thread: what is posted here shares the next transaction.
    store_->SubmitSamples(run, {TestSample("a")}, false,
                          [&](const auto& r) { before = r.status(); });
    store_->SubmitSamples(run, {Huge("b")}, false,
                          [&](const auto& r) { huge = r.status(); });
    store_->SubmitSamples(run, {TestSample("c")}, true,
                          [&](const auto& r) { after = r.status(); });
  });
  Flush();
  Flush();
  EXPECT_TRUE(before.ok()) << before;
  EXPECT_TRUE(absl::IsResourceExhausted(huge)) << huge;
  EXPECT_THAT(std::string(huge.message()), HasSubstr(path_));
  EXPECT_TRUE(after.ok()) << after;
  EXPECT_EQ(Info(run).samples_submitted, 2);
  EXPECT_EQ(Lease().sample.id, "a");
}

// Events after the lost ones are not kept: an attempt has no holes. The
// sample comes back as a new attempt.
TEST_F(FullDiskTest, ALostEventEndsTheAttempt) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  Append(leased, {make_.Start()});
  Event huge = make_.Step(1);
  std::get<StepRecord>(huge.body).token = std::string(2 << 20, 'x');
  Append(leased, {huge});
  // Taken or not: on a busy machine the loss is known by now.
  store_->Append(leased, {make_.Step(2)}).IgnoreError();
  Flush();
  EXPECT_TRUE(
      absl::IsResourceExhausted(store_->Append(leased, {make_.Step(3)})));
  EXPECT_THAT(Events(run), SizeIs(1));
  store_->Release(leased);
  EXPECT_EQ(Lease().attempt, 2);
}

// Where it is the sample's end that is lost, nobody calls Release.
TEST_F(FullDiskTest, ALostEndGivesTheSampleBack) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  Event huge = make_.Result();
  std::get<SampleResult>(huge.body).text = std::string(2 << 20, 'x');
  Append(Lease(), {make_.Start(), huge});
  const LeasedSample again = Lease();
  EXPECT_EQ(again.sample.id, "a");
  Append(again, {make_.Start(), make_.Result()});
  Flush();
  EXPECT_EQ(Info(run).samples_done, 1);
}

// While somebody else holds the write lock, calls fail and events wait.
TEST_F(DurabilityTest, ALockedDatabaseDelaysEventsAndFailsCalls) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  store_.reset();
  options_.writer.busy_timeout = absl::Milliseconds(1);
  Open();
  const LeasedSample leased = Lease();
  auto other = Database::Open(path_, {});
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE(InTransaction(**other, TransactionKind::kWrite, [&] {
                Append(leased, {make_.Start()});
                Append(leased, {make_.Step(1)});
                const absl::Status status = TryCreate(TestRun("now")).status();
                EXPECT_TRUE(absl::IsUnavailable(status)) << status;
                return absl::OkStatus();
              }).ok());
  Flush();
  while (Info(run).last_sequence < 2) {
    ASSERT_TRUE(store_->GetRun(run).ok());
  }
  EXPECT_TRUE(std::holds_alternative<SampleStart>(Events(run)[0].body));
}

// A sample that cannot be read, or of whose run nobody can say what it began
// with, fails, and the next one is leased.
TEST_F(DurabilityTest, ASampleOfARunThatCannotBeReadFailsAlone) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  ASSERT_TRUE(Submit(Create("other"), {TestSample("b")}).ok());
  store_.reset();
  {
    auto database = Database::Open(path_, {});
    ASSERT_TRUE((*database)
                    ->Exec("UPDATE runs SET provenance = '{' WHERE id = 1")
                    .ok());
  }
  Open();
  const absl::Status held =
      store_->HoldRuns([](const RunInfo&) { return std::string(); });
  EXPECT_TRUE(held.ok()) << held;
  EXPECT_EQ(Lease().sample.id, "b");
  Flush();
  ASSERT_THAT(Events(run), SizeIs(1));
  EXPECT_EQ(std::get<SampleFailure>(Events(run)[0].body).reason,
            "SAMPLE_UNREADABLE");
}

TEST_F(DurabilityTest, AnUnreadableSampleFailsAlone) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  store_.reset();
  {
    auto database = Database::Open(path_, {});
    ASSERT_TRUE(
        (*database)
            ->Exec("UPDATE sample_inputs SET payload = '{' WHERE sample = 1")
            .ok());
  }
  Open();
  EXPECT_EQ(Lease().sample.id, "b");
  Flush();
  ASSERT_THAT(Events(run), SizeIs(1));
  EXPECT_EQ(std::get<SampleFailure>(Events(run)[0].body).reason,
            "SAMPLE_UNREADABLE");
}

}  // namespace
}  // namespace kvrecall
