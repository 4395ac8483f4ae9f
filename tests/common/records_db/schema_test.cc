#include "common/records_db/schema.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string Read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// Opening for writing and for reading fail alike: with `code`, in one line
// with the path and `words`. The file stays as it is.
void ExpectRefused(const std::string& path, absl::StatusCode code,
                   const std::string& words) {
  const std::string before = Read(path);
  for (const absl::Status& status :
       {CheckForWriting(path).status(), OpenForWriting(path, {}).status(),
        OpenForReading(path).status()}) {
    EXPECT_EQ(status.code(), code) << status;
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr(path));
    EXPECT_THAT(message, HasSubstr(words));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
  }
  EXPECT_EQ(Read(path), before);
}

class SchemaTest : public ::testing::Test {
 protected:
  std::string Made() {  // the path of a fresh database
    const std::string path = dir_.File("runs.db");
    EXPECT_TRUE(OpenForWriting(path, {}).ok());
    return path;
  }
  TempDir dir_;
};

TEST_F(SchemaTest, AFreshDatabaseIsMarkedAndCanBeOpenedAgain) {
  const std::string path = Made();
  const auto reader = OpenForReading(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->QueryInt("PRAGMA application_id").value(),
            kApplicationId);
  EXPECT_EQ((*reader)->QueryInt("PRAGMA user_version").value(), kSchemaVersion);
  EXPECT_TRUE(OpenForWriting(path, {}).ok());
}

TEST_F(SchemaTest, ACheckTellsTheVersionAndChangesNothing) {
  const std::string path = dir_.File("runs.db");
  EXPECT_EQ(CheckForWriting(path).value(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
  Write(path, "");
  EXPECT_EQ(CheckForWriting(path).value(), 0);
  EXPECT_EQ(Read(path), "");
  std::filesystem::remove(path);
  Made();
  {
    auto database = Database::Open(path, {});
    ASSERT_TRUE((*database)->Exec("PRAGMA user_version = 2").ok());
  }
  const std::string before = Read(path);
  EXPECT_EQ(CheckForWriting(path).value(), 2);
  EXPECT_EQ(Read(path), before);
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  EXPECT_FALSE(std::filesystem::exists(path + "-shm"));
}

TEST_F(SchemaTest, ANewerVersionIsRefused) {
  const std::string path = Made();
  {
    auto database = Database::Open(path, {});
    ASSERT_TRUE((*database)->Exec("PRAGMA user_version = 7").ok());
  }
  ExpectRefused(path, absl::StatusCode::kFailedPrecondition,
                "newer kvrecall (schema version 7");
}

TEST_F(SchemaTest, ADatabaseOfAnotherProgramIsRefused) {
  const std::string path = dir_.File("other.db");
  {
    auto database = Database::Open(path, {});
    ASSERT_TRUE((*database)->Exec("CREATE TABLE birds (name TEXT)").ok());
  }
  ExpectRefused(path, absl::StatusCode::kFailedPrecondition, "another program");
}

TEST_F(SchemaTest, AFileThatIsNoDatabaseIsRefused) {
  const std::string path = dir_.File("notes.txt");
  Write(path, std::string(5000, 'n'));
  ExpectRefused(path, absl::StatusCode::kDataLoss, "not a database");
}

TEST_F(SchemaTest, ADamagedDatabaseIsRefused) {
  const std::string path = Made();
  std::string bytes = Read(path);
  for (size_t i = 100; i < 4096; ++i) bytes[i] = '\x5a';
  Write(path, bytes);
  ExpectRefused(path, absl::StatusCode::kDataLoss, "malformed");
}

TEST_F(SchemaTest, ADirectoryIsRefused) {
  ExpectRefused(dir_.path(), absl::StatusCode::kInvalidArgument,
                "is a directory");
}

TEST_F(SchemaTest, AMissingFolderIsNotFound) {
  ExpectRefused(dir_.File("none/runs.db"), absl::StatusCode::kNotFound,
                "does not exist");
}

TEST_F(SchemaTest, AMissingFileCanNotBeRead) {
  EXPECT_TRUE(absl::IsNotFound(OpenForReading(dir_.File("no.db")).status()));
  EXPECT_FALSE(std::filesystem::exists(dir_.File("no.db")));
}

// Root may read everything, so the test becomes somebody else.
TEST_F(SchemaTest, AnUnreadableFileIsPermissionDenied) {
  const std::string path = Made();
  std::filesystem::permissions(dir_.path(), std::filesystem::perms::all);
  std::filesystem::permissions(path, std::filesystem::perms::none);
  const bool root = geteuid() == 0;
  if (root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const absl::Status reading = OpenForReading(path).status();
  const absl::Status writing = OpenForWriting(path, {}).status();
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_TRUE(absl::IsPermissionDenied(reading)) << reading;
  EXPECT_TRUE(absl::IsPermissionDenied(writing)) << writing;
}

// A results folder may be mounted read-only on the laptop.
TEST_F(SchemaTest, AFolderWithoutWritePermissionCanBeRead) {
  const std::string path = Made();
  using std::filesystem::perms;
  std::filesystem::permissions(path, perms::all);
  std::filesystem::permissions(
      dir_.path(), perms::all & ~(perms::owner_write | perms::group_write |
                                  perms::others_write));
  const bool root = geteuid() == 0;
  if (root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const absl::Status reading = OpenForReading(path).status();
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  std::filesystem::permissions(dir_.path(), perms::all);
  EXPECT_TRUE(reading.ok()) << reading;
}

}  // namespace
}  // namespace kvrecall
