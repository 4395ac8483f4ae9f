// Runs that are deleted: what is left of them, at once and in the end, and what
// others notice of it.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/error_reason.h"
#include "common/records_db/schema.h"
#include "server/store/run_deletion.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DeletionTest : public StoreTest {
 protected:
  // Processes die in these tests, machines do not.
  DeletionTest() {
    options_.writer.synchronous = WriterOptions::Synchronous::kNormal;
  }

  absl::StatusOr<DeletedRun> Delete(const std::string& run) {
    auto deleted = Await<absl::StatusOr<DeletedRun>>(
        [&](auto done) { store_->DeleteRun(run, std::move(done)); });
    if (!deleted.ok()) LetGo();
    return deleted;
  }

  // Ended, with so many samples of so many steps.
  std::string MakeRun(const std::string& request, int samples, int steps) {
    const std::string run = Create(request);
    std::vector<Sample> all;
    for (int i = 0; i < samples; ++i)
      all.push_back(TestSample("s" + std::to_string(i)));
    EXPECT_TRUE(Submit(run, all, true).ok());
    for (int i = 0; i < samples; ++i) {
      const LeasedSample leased = Lease();
      std::vector<Event> events = {make_.Start()};
      for (int step = 1; step <= steps; ++step)
        events.push_back(make_.Step(step));
      events.push_back(make_.Result());
      Append(leased, std::move(events));
    }
    FlushAway();
    EXPECT_TRUE(IsTerminal(Info(run).state));
    return run;
  }

  // As Flush, and leaves no run behind.
  void FlushAway() {
    const auto run = TryCreate(TestRun("flush"));
    ASSERT_TRUE(run.ok()) << run.status();
    ASSERT_TRUE(Cancel(run->run_id).ok());
    ASSERT_TRUE(Delete(run->run_id).ok());
  }

  // Returns once no deletion is under way.
  void WaitForDeletions() {
    while (store_->GetStatus().value().runs_being_deleted > 0)
      std::this_thread::yield();
  }

  std::unique_ptr<Database> Look() const {
    auto database = OpenForReading(path_);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  // Rows of all tables but the servers' own: what is added to the schema and
  // forgotten by the deletion shows here.
  int64_t AllRows() const {
    int64_t rows = 0;
    const auto database = Look();
    auto table = database->Prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' "
        "AND name <> 'epochs'");
    EXPECT_TRUE(table.ok()) << table.status();
    while (table->Step().value())
      rows +=
          database
              ->QueryInt("SELECT count(*) FROM " + std::string(table->Text(0)))
              .value();
    return rows;
  }
};

TEST_F(DeletionTest, ADeletedRunIsGoneAtOnceAndItsRowsSoon) {
  const std::string other = MakeRun("other", 2, 3);
  const std::vector<Event> others = Events(other);
  const int64_t rows = AllRows();
  // More than one piece of events, and of samples.
  const std::string run = MakeRun("request", 70, 20);
  const auto deleted = Delete(run);
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->samples, 70);
  EXPECT_EQ(deleted->events, 70 * 22 + 1);
  EXPECT_TRUE(absl::IsNotFound(store_->GetRun(run).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->ReadAfter(run, 0, 10).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->ExportRun(run, {}).status()));
  EXPECT_TRUE(absl::IsNotFound(Submit(run, {TestSample("z")}).status()));
  EXPECT_TRUE(absl::IsNotFound(Cancel(run).status()));
  EXPECT_TRUE(absl::IsNotFound(Delete(run).status()));
  EXPECT_THAT(store_->ListRuns(10, "")->first, SizeIs(1));
  EXPECT_EQ(Look()
                ->QueryInt("SELECT count(*) FROM recalls WHERE run = ?1", run)
                .value(),
            0);
  WaitForDeletions();
  EXPECT_EQ(AllRows(), rows);
  EXPECT_EQ(Events(other), others);
}

TEST_F(DeletionTest, OnlyWhatHasEndedIsDeleted) {
  const std::string run = Create();
  for (const std::vector<Sample>& more :
       {std::vector<Sample>{}, std::vector<Sample>{TestSample("a")}}) {
    ASSERT_TRUE(Submit(run, more).ok());
    const absl::Status refused = Delete(run).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_EQ(ReasonOf(refused), "RUN_ACTIVE");
    EXPECT_THAT(std::string(refused.message()), HasSubstr("cancel it first"));
  }
  const LeasedSample leased = Lease();
  EXPECT_TRUE(absl::IsFailedPrecondition(Delete(run).status()));
  EXPECT_EQ(Info(run).samples_submitted, 1);
  ASSERT_TRUE(Cancel(run).ok());
  ASSERT_TRUE(Delete(run).ok());
  WaitForDeletions();
  EXPECT_EQ(AllRows(), 0);
}

TEST_F(DeletionTest, ItsRequestIdMakesAnotherRun) {
  const std::string run = MakeRun("request", 1, 1);
  ASSERT_TRUE(Delete(run).ok());
  const std::string again = Create("request");
  EXPECT_NE(again, run);
  EXPECT_EQ(Info(again).samples_submitted, 0);
}

// The engine still has a sample of the deleted run when another sample gets
// the same keys.
TEST_F(DeletionTest, WhatWasLeasedOfItTouchesNobodyElse) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample late = Lease();
  ASSERT_TRUE(Cancel(run).ok());
  ASSERT_TRUE(Delete(run).ok());
  WaitForDeletions();
  const std::string next = Create("next");
  ASSERT_TRUE(Submit(next, {TestSample("a")}, true).ok());
  const LeasedSample leased = Lease();
  EXPECT_EQ(leased.attempt, late.attempt);
  EXPECT_TRUE(store_->Append(late, {make_.Start()}).ok());
  store_->Release(late);
  Append(leased, {make_.Start(), make_.Result()});
  Flush();
  EXPECT_THAT(Events(next), SizeIs(3));
  EXPECT_EQ(Info(next).state, RunState::kSucceeded);
}

// A run that is made while the rows of the youngest one go.
TEST_F(DeletionTest, ANewRunDoesNotMeetTheRowsOfADeletedOne) {
  const std::string run = MakeRun("request", 65, 2);
  ASSERT_TRUE(Delete(run).ok());
  const std::string next = MakeRun("next", 3, 2);
  EXPECT_THAT(Events(next), SizeIs(3 * 4 + 1));
  WaitForDeletions();
  EXPECT_THAT(Events(next), SizeIs(3 * 4 + 1));
  EXPECT_EQ(Info(next).samples_done, 3);
}

TEST_F(DeletionTest, ReadersSeeTheWholeRunOrNone) {
  const std::string run = MakeRun("request", 30, 30);
  const std::vector<Event> whole = Events(run);
  std::atomic<bool> is_reading = false, is_gone = false;
  std::thread reader([&] {
    while (!is_gone) {
      const auto events = store_->ReadAfter(run, 0, 1'000'000);
      if (events.ok()) {
        EXPECT_EQ(*events, whole);
      } else {
        EXPECT_TRUE(absl::IsNotFound(events.status())) << events.status();
        is_gone = true;
      }
      is_reading = true;
    }
  });
  while (!is_reading) std::this_thread::yield();
  EXPECT_TRUE(Delete(run).ok());
  reader.join();
  WaitForDeletions();
  EXPECT_EQ(AllRows(), 0);
}

// In any state that a deletion may be left in, and after a death that came
// right after its answer.
TEST_F(DeletionTest, ADeletionThatWasCutOffIsFinishedByTheNextServer) {
  for (int pieces = 0; pieces < 8; ++pieces) {
    const std::string run = MakeRun("request", 70, 1);
    store_.reset();
    {
      const auto database = OpenForWriting(path_, {});
      ASSERT_TRUE(database.ok());
      RunDeletion deletion(database->get(), /*rows_per_piece=*/500);
      const auto key = deletion.Begin(run);
      ASSERT_TRUE(key.ok()) << key.status();
      for (int i = 0; i < pieces; ++i)
        ASSERT_TRUE(deletion.DeletePiece(key->key).ok());
    }
    Open();
    WaitForDeletions();
    EXPECT_EQ(AllRows(), 0) << pieces;
  }
  const std::string run = MakeRun("request", 70, 20);
  store_.reset();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Open();
    _exit(Delete(run).ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  Open();
  EXPECT_TRUE(absl::IsNotFound(store_->GetRun(run).status()));
  WaitForDeletions();
  EXPECT_EQ(AllRows(), 0);
}

TEST_F(DeletionTest, PiecesAreBoundedAndEndInNothing) {
  const std::string run = MakeRun("request", 130, 3);
  store_.reset();
  const auto opened = OpenForWriting(path_, {});
  ASSERT_TRUE(opened.ok());
  Database& database = **opened;
  RunDeletion deletion(&database, /*rows_per_piece=*/100);
  const int64_t key = deletion.Begin(run)->key;
  EXPECT_THAT(*deletion.Unfinished(), ElementsAre(key));
  int pieces = 1;
  for (bool has_more = true; has_more; ++pieces) {
    const auto before = database.QueryInt("SELECT total_changes()");
    const auto piece = deletion.DeletePiece(key);
    ASSERT_TRUE(piece.ok()) << piece.status();
    const auto after = database.QueryInt("SELECT total_changes()");
    EXPECT_LE(*after - *before, 140) << pieces;
    has_more = *piece;
  }
  EXPECT_GE(pieces, 130 * 3 / 10 + 3);
  EXPECT_THAT(*deletion.Unfinished(), IsEmpty());
  EXPECT_EQ(*deletion.DeletePiece(key), false);
}

TEST_F(DeletionTest, WhatIsWrittenNextTakesItsRoom) {
  const std::string run = MakeRun("request", 20, 30);
  const int64_t before = store_->GetStatus()->used_bytes;
  ASSERT_TRUE(Delete(run).ok());
  WaitForDeletions();
  EXPECT_LT(store_->GetStatus()->used_bytes, before / 4);
  MakeRun("again", 20, 30);
  const int64_t pages = Look()->QueryInt("PRAGMA page_count").value() * 4096;
  EXPECT_LT(pages, before + before / 4);
}

TEST_F(DeletionTest, OnlyRunsThatEndedBeforeATimeAreOld) {
  const std::string old = MakeRun("old", 1, 1);
  const std::string young = MakeRun("young", 1, 1);
  const std::string open = Create("open");
  const absl::Time ended = *Info(young).end_time;
  ASSERT_LT(*Info(old).end_time, ended);
  store_.reset();
  const auto database = OpenForWriting(path_, {});
  ASSERT_TRUE(database.ok());
  RunDeletion deletion(database->get());
  EXPECT_THAT(*deletion.BeginEndedBefore(ended, 10), SizeIs(1));
  EXPECT_THAT(*deletion.BeginEndedBefore(ended, 10), IsEmpty());
  EXPECT_EQ((*database)->QueryInt("SELECT count(*) FROM runs").value(), 2);
  EXPECT_THAT(*deletion.BeginEndedBefore(absl::InfiniteFuture(), 0), IsEmpty());
  EXPECT_THAT(*deletion.BeginEndedBefore(absl::InfiniteFuture(), 10),
              SizeIs(1));
  EXPECT_EQ((*database)
                ->QueryInt("SELECT count(*) FROM runs WHERE run_id = ?1", open)
                .value(),
            1);
}

// Somebody who deletes may come late, when the key is another run's.
TEST_F(DeletionTest, ARunThatGotTheKeyOfADeletedOneStays) {
  const std::string run = Create("without samples");
  ASSERT_TRUE(Submit(run, {}, true).ok());
  store_.reset();
  int64_t key = 0;
  {
    const auto database = OpenForWriting(path_, {});
    ASSERT_TRUE(database.ok());
    RunDeletion deletion(database->get());
    const auto begun = deletion.Begin(run);
    ASSERT_TRUE(begun.ok()) << begun.status();
    key = begun->key;
  }
  Open();
  const std::string next = MakeRun("next", 2, 2);
  const int64_t rows = AllRows();
  store_.reset();
  const auto database = OpenForWriting(path_, {});
  ASSERT_TRUE(database.ok());
  ASSERT_EQ((*database)
                ->QueryInt("SELECT id FROM runs WHERE run_id = ?1", next)
                .value(),
            key);
  RunDeletion deletion(database->get());
  const auto more = deletion.DeletePiece(key);
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_FALSE(*more);
  EXPECT_EQ(AllRows(), rows);
}

TEST_F(DeletionTest, OldRunsGoAtTheStartAndWhileItServes) {
  const std::string before = MakeRun("before", 2, 2);
  options_.keep = absl::Hours(1);
  Reopen();
  EXPECT_TRUE(store_->GetRun(before).ok());
  store_.reset();
  options_.keep = absl::ZeroDuration();
  options_.retention_interval = absl::Milliseconds(1);
  Open();
  while (store_->GetRun(before).ok()) std::this_thread::yield();
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {}, true).ok());
  while (store_->GetRun(run).ok()) std::this_thread::yield();
  const std::string open = Create("open");
  EXPECT_EQ(Info(open).state, RunState::kQueued);
  WaitForDeletions();
  EXPECT_EQ(AllRows(), 1 + 8 + 2);
}

}  // namespace
}  // namespace kvrecall
