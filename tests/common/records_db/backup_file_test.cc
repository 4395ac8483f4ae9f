// A whole database as a file of its own, while it is written.

#include "common/records_db/backup_file.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "common/base/error_reason.h"
#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BackupFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_);
    WriterOptions options;
    options.synchronous = WriterOptions::Synchronous::kNormal;
    auto database = OpenForWriting(source_, options);
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    for (int i = 0; i < 12; ++i) AddMegabyte();
    for (int i = 0; i < 2000; ++i)
      ASSERT_TRUE(
          database_->Run("INSERT INTO epochs (opened_us) VALUES (?1)", i).ok());
  }

  // A row whose run nobody needs.
  void AddMegabyte() {
    const absl::Status added =
        database_->Run("INSERT INTO sample_inputs (payload) VALUES (?1)",
                       std::string(1 << 20, 'x'));
    ASSERT_TRUE(added.ok()) << added;
  }

  static int64_t Rows(const std::string& path) {
    auto database = OpenForReading(path);
    EXPECT_TRUE(database.ok()) << database.status();
    if (!database.ok()) return -1;
    return (*database)->QueryInt("SELECT count(*) FROM sample_inputs").value();
  }

  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      names.insert(entry.path().filename().string());
    return names;
  }

  absl::Status Fail(const std::string& file, const BackupHooks& hooks = {}) {
    const auto made = WriteBackup(source_, file, hooks);
    EXPECT_FALSE(made.ok());
    return made.status();
  }

  TempDir dir_;
  const std::string source_ = dir_.File("runs.db");
  const std::string folder_ = dir_.File("backups");
  const std::string file_ = folder_ + "/runs.db";
  std::unique_ptr<Database> database_;
};

TEST_F(BackupFileTest, IsTheStateOfItsBeginningWhateverIsWrittenMeanwhile) {
  int steps = 0;
  int64_t last = 0;
  const auto bytes =
      WriteBackup(source_, file_,
                  {[&](int64_t done, int64_t total) {
                     ++steps;
                     EXPECT_GT(done, last);
                     EXPECT_LE(done, total);
                     last = done;
                     AddMegabyte();
                     EXPECT_FALSE(std::filesystem::exists(file_));
                   },
                   {}});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_GE(steps, 3);
  EXPECT_EQ(*bytes, last);
  EXPECT_EQ(*bytes, static_cast<int64_t>(std::filesystem::file_size(file_)));
  EXPECT_EQ(Rows(file_), 12);
  EXPECT_EQ(Rows(source_), 12 + steps);
  // Nothing beside it, also after it was read.
  EXPECT_THAT(Names(), ::testing::ElementsAre("runs.db"));
  // A server may be started on it.
  EXPECT_TRUE(OpenForWriting(file_, {}).ok());
}

TEST_F(BackupFileTest, IsStoppedBetweenStepsAndWhileItIsChecked) {
  int asked = 0;
  for (int first_yes = 1; first_yes <= 2; ++first_yes) {
    const absl::Status stopped =
        Fail(file_, {{}, [&] { return ++asked >= first_yes; }});
    EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
    EXPECT_THAT(Names(), IsEmpty());
    asked = 0;
  }
  // Copied, and then stopped.
  bool is_copied = false;
  const absl::Status checked = Fail(
      file_, {[&](int64_t done, int64_t total) { is_copied = done == total; },
              [&] { return is_copied && ++asked > 1; }});
  EXPECT_TRUE(absl::IsCancelled(checked)) << checked;
  EXPECT_GT(asked, 1);
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(BackupFileTest, NothingIsOverwritten) {
  for (const char* suffix : {"", ".part"}) {
    std::ofstream(file_ + suffix) << "mine";
    const absl::Status refused = Fail(file_);
    EXPECT_TRUE(absl::IsAlreadyExists(refused)) << refused;
    EXPECT_EQ(ReasonOf(refused), "FILE_EXISTS");
    EXPECT_THAT(std::string(refused.message()), HasSubstr(file_ + suffix));
    EXPECT_EQ(std::filesystem::file_size(file_ + suffix), 4u);
    std::filesystem::remove(file_ + suffix);
  }
  std::filesystem::create_symlink("nowhere", file_);
  EXPECT_TRUE(absl::IsAlreadyExists(Fail(file_)));
}

// It appears while the copy is made.
TEST_F(BackupFileTest, AFileThatAppearsMeanwhileIsNotOverwritten) {
  const absl::Status refused = Fail(
      file_, {[&](int64_t, int64_t) { std::ofstream(file_) << "mine"; }, {}});
  EXPECT_TRUE(absl::IsAlreadyExists(refused)) << refused;
  EXPECT_EQ(std::filesystem::file_size(file_), 4u);
  EXPECT_FALSE(std::filesystem::exists(file_ + ".part"));
}

TEST_F(BackupFileTest, APlaceThatIsNoneIsNamed) {
  const absl::Status refused = Fail(folder_ + "/none/runs.db");
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("none/runs.db"));
  EXPECT_TRUE(absl::IsAlreadyExists(Fail(folder_)));
  EXPECT_THAT(Names(), IsEmpty());
}

// No file of this process may be larger than 4 MiB.
TEST_F(BackupFileTest, AFullDiskLeavesNothingBehind) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit little = before;
  little.rlim_cur = 4 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &little), 0);
  const absl::Status full = Fail(file_);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(std::string(full.message()), HasSubstr(file_ + ".part"));
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_TRUE(WriteBackup(source_, file_, {}).ok());
}

TEST_F(BackupFileTest, WhatIsDamagedIsNoBackup) {
  // A row that the index of its table does not have.
  ASSERT_TRUE(
      database_
          ->Exec("INSERT INTO samples (run, ordinal, sample_id, state, "
                 "submitted_us) VALUES (1, 1, 'a', 'queued', 0);"
                 "PRAGMA writable_schema = ON;"
                 "DELETE FROM sqlite_schema WHERE name = 'samples_queued';"
                 "INSERT INTO sqlite_schema SELECT 'index', 'wrong', 'samples',"
                 " rootpage, 'CREATE INDEX wrong ON samples (epoch)' "
                 "FROM sqlite_schema WHERE name = 'samples_running'")
          .ok());
  const absl::Status damaged = Fail(file_);
  EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
  EXPECT_THAT(Names(), IsEmpty());
}

}  // namespace
}  // namespace kvrecall
