#include "common/records_db/new_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

std::string TextOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(NewFileTest, HasItsNameOnceItIsWhole) {
  const TempDir dir;
  const std::string path = dir.File("new");
  {
    auto file = NewFile::Make(path);
    ASSERT_TRUE(file.ok()) << file.status();
    std::ofstream(file->path()) << "text";
    EXPECT_FALSE(fs::exists(path));
    const absl::Status committed = file->Commit();
    ASSERT_TRUE(committed.ok()) << committed;
  }
  EXPECT_EQ(TextOf(path), "text");
  EXPECT_FALSE(fs::exists(path + ".part"));
}

TEST(NewFileTest, WhatIsNotCommittedIsGone) {
  const TempDir dir;
  {
    auto file = NewFile::Make(dir.File("new"));
    ASSERT_TRUE(file.ok());
    std::ofstream(file->path() + "-journal") << "SQLite's";
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(NewFileTest, NothingIsOverwritten) {
  const TempDir dir;
  const std::string path = dir.File("new");
  auto file = NewFile::Make(path);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(NewFile::Make(path).status()));
  std::ofstream(path) << "somebody else's";
  EXPECT_TRUE(absl::IsAlreadyExists(file->Commit()));
  EXPECT_TRUE(absl::IsAlreadyExists(NewFile::Make(path).status()));
  EXPECT_EQ(TextOf(path), "somebody else's");
}

TEST(NewFileTest, WhatMayBeReplacedIsAndSoIsAPartThatWasLeft) {
  const TempDir dir;
  const std::string path = dir.File("new");
  std::ofstream(path) << "old";
  std::ofstream(path + ".part") << "left behind";
  auto file = NewFile::Make(path, NewFile::Existing::kReplace);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(TextOf(file->path()), "");
  std::ofstream(file->path()) << "new";
  EXPECT_EQ(TextOf(path), "old");
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(TextOf(path), "new");
}

TEST(NewFileTest, AFolderThatIsNotThereIsToldByName) {
  const TempDir dir;
  const absl::Status status = NewFile::Make(dir.File("none/new")).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("none/new"), std::string::npos);
}

}  // namespace
}  // namespace kvrecall
