// What an operator asks of a store that goes on working: backups, checkpoints,
// a limit of its size, and how it stands.

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error_reason.h"
#include "common/records_db/schema.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class UpkeepTest : public StoreTest {
 protected:
  absl::StatusOr<CheckpointReply> Checkpoint() {
    return Await<absl::StatusOr<CheckpointReply>>(
        [&](auto done) { store_->Checkpoint(std::move(done)); });
  }
};

// What a backup has is a beginning of what there is in the end, and a server
// goes on with it.
TEST_F(UpkeepTest, ABackupIsOneStateOfAStoreThatGoesOnWriting) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
  const LeasedSample leased = Lease();
  Append(leased, {make_.Start()});
  Flush();
  std::atomic<bool> stop = false;
  std::thread engine([&] {
    for (int step = 1; !stop; ++step) Append(leased, {make_.Step(step)});
  });
  for (int i = 0; i < 3; ++i) {
    const std::string file = dir_.File("backup" + std::to_string(i));
    const auto bytes = store_->Backup(file, [] { return false; });
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*bytes, static_cast<int64_t>(std::filesystem::file_size(file)));
  }
  stop = true;
  engine.join();
  Flush();
  const std::vector<Event> whole = Events(run);
  store_.reset();
  for (int i = 0; i < 3; ++i) {
    auto opened =
        OpenSqliteStore(dir_.File("backup" + std::to_string(i)), options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    const std::vector<Event> saved = Events(run);
    ASSERT_LE(saved.size(), whole.size());
    ASSERT_GE(saved.size(), 1u);
    EXPECT_TRUE(std::equal(saved.begin(), saved.end(), whole.begin()));
    EXPECT_EQ(Lease().sample.id, "a");
    EXPECT_EQ(Lease().sample.id, "b");
  }
}

TEST_F(UpkeepTest, ABackupThatFailsLeavesNothingAndTheStoreGoesOn) {
  Create();
  const auto stopped =
      store_->Backup(dir_.File("stopped"), [] { return true; });
  EXPECT_TRUE(absl::IsCancelled(stopped.status())) << stopped.status();
  const auto nowhere =
      store_->Backup(dir_.File("none/backup"), [] { return false; });
  EXPECT_TRUE(absl::IsInvalidArgument(nowhere.status())) << nowhere.status();
  const auto itself = store_->Backup(path_, [] { return false; });
  EXPECT_TRUE(absl::IsAlreadyExists(itself.status())) << itself.status();
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
    EXPECT_THAT(entry.path().filename().string(),
                ::testing::StartsWith("runs.db"));
  Create("next");
}

TEST_F(UpkeepTest, ABackupWithoutRoomForItIsNotBegun) {
  store_.reset();
  options_.min_free_bytes = INT64_MAX;
  Open();
  const auto refused =
      store_->Backup(dir_.File("backup"), [] { return false; });
  EXPECT_EQ(ReasonOf(refused.status()), "DISK_LOW") << refused.status();
}

TEST_F(UpkeepTest, ACheckpointEmptiesTheLog) {
  const std::string run = Create();
  const auto reply = Checkpoint();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_GT(reply->bytes_before, 0);
  EXPECT_EQ(reply->bytes_after, 0);
  EXPECT_EQ(store_->GetStatus()->log_bytes, 0);
  EXPECT_EQ(Checkpoint()->bytes_before, 0);
  EXPECT_EQ(Info(run).run_id, run);
  Create("next");
  EXPECT_GT(store_->GetStatus()->log_bytes, 0);
}

// It is no part of a transaction, and those before and after it are whole.
TEST_F(UpkeepTest, ACheckpointStandsAmongOtherCalls) {
  const std::string run = Create();
  absl::Status before, checkpoint, after;
  int64_t left = -1;
  store_->CreateRun(TestRun("hold"), [&](const auto&) {
    // On the writer thread: what is posted here waits for the next round.
    store_->SubmitSamples(run, {TestSample("a")}, false,
                          [&](const auto& r) { before = r.status(); });
    store_->Checkpoint([&](const auto& r) {
      checkpoint = r.status();
      left = r.ok() ? r->bytes_after : -1;
    });
    store_->SubmitSamples(run, {TestSample("b")}, true,
                          [&](const auto& r) { after = r.status(); });
  });
  Flush();
  Flush();
  EXPECT_TRUE(before.ok()) << before;
  EXPECT_TRUE(checkpoint.ok()) << checkpoint;
  EXPECT_TRUE(after.ok()) << after;
  EXPECT_EQ(left, 0);
  EXPECT_EQ(Info(run).samples_submitted, 2);
}

// Not waited for by the writer, which serves others meanwhile.
TEST_F(UpkeepTest, ACheckpointLeavesWhatAReaderReads) {
  Create();
  const auto reader = OpenForReading(path_);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(
      InTransaction(**reader, TransactionKind::kRead, [&] {
        EXPECT_EQ((*reader)->QueryInt("SELECT count(*) FROM runs").value(), 1);
        Create("next");
        const auto reply = Checkpoint();
        EXPECT_TRUE(reply.ok()) << reply.status();
        EXPECT_GT(reply->bytes_after, 0);
        Create("meanwhile");
        return absl::OkStatus();
      }).ok());
  EXPECT_EQ(Checkpoint()->bytes_after, 0);
  EXPECT_THAT(store_->ListRuns(10, "")->first, SizeIs(3));
}

TEST_F(UpkeepTest, ADatabaseOfItsFullSizeTakesNoNewWorkUntilRunsAreDeleted) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const int64_t empty = store_->GetStatus()->used_bytes;
  std::vector<Event> events = {make_.Start()};
  for (int step = 1; step <= 300; ++step) events.push_back(make_.Step(step));
  Append(Lease(), events);
  Flush();
  store_.reset();
  options_.max_used_bytes = empty + (200 << 10);
  Open();
  const auto refused = Submit(run, {TestSample("b")});
  LetGo();
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(ReasonOf(refused.status()), "DATABASE_FULL");
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("reading works"));
  const absl::Status run_refused = TryCreate(TestRun("new")).status();
  LetGo();
  EXPECT_EQ(ReasonOf(run_refused), "DATABASE_FULL");
  // What runs goes on, is said to be complete, is read, and is exported.
  ASSERT_TRUE(Submit(run, {}, true).ok());
  Append(Lease(), {make_.Start(), make_.Result()});
  while (!IsTerminal(Info(run).state)) std::this_thread::yield();
  EXPECT_TRUE(store_->ExportRun(run, {}).ok());
  const auto deleted = Await<absl::StatusOr<DeletedRun>>(
      [&](auto done) { store_->DeleteRun(run, std::move(done)); });
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  while (store_->GetStatus()->runs_being_deleted > 0) std::this_thread::yield();
  EXPECT_TRUE(TryCreate(TestRun("new")).ok());
}

TEST_F(UpkeepTest, TheStatusSaysHowItStands) {
  store_.reset();
  options_.max_used_bytes = 1 << 30;
  options_.min_free_bytes = 1 << 10;
  options_.limits.samples = 7;
  options_.keep = absl::Hours(48);
  Open();
  EXPECT_EQ(store_->GetStatus()->oldest_run, std::nullopt);
  const std::string run = Create();
  Create("another");
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  Lease();
  const auto status = store_->GetStatus();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->runs, 2);
  EXPECT_EQ(status->oldest_run, Info(run).create_time);
  EXPECT_EQ(status->runs_being_deleted, 0);
  EXPECT_EQ(status->samples_waiting, 1);
  EXPECT_EQ(status->samples_running, 1);
  EXPECT_GT(status->used_bytes, 0);
  EXPECT_GT(status->log_bytes, 0);
  EXPECT_GT(status->free_disk_bytes, 1 << 10);
  EXPECT_EQ(status->max_used_bytes, 1 << 30);
  EXPECT_EQ(status->min_free_bytes, 1 << 10);
  EXPECT_EQ(status->max_open_samples, 7);
  EXPECT_EQ(status->keep, absl::Hours(48));
  EXPECT_EQ(status->database_bytes, status->used_bytes);
  ASSERT_TRUE(Checkpoint().ok());
  EXPECT_EQ(status->database_bytes,
            static_cast<int64_t>(std::filesystem::file_size(path_)));
}

}  // namespace
}  // namespace kvrecall
