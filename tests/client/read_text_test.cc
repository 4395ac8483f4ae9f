#include "client/read_text.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

#include "tests/common/base/unprivileged.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

class ReadTextTest : public testing::Test {
 protected:
  std::string Write(const std::string& content) {
    const std::string path = folder_.File("text");
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  absl::StatusOr<std::string> Read(const std::string& path) {
    std::istringstream none("not to be read");
    return ReadTextFrom(path, none);
  }

  TempDir folder_;
};

TEST_F(ReadTextTest, GivesTheWholeFileAsItIs) {
  const std::string text = "\xEF\xBB\xBFŁódź\r\n\n{x}\t \n";
  EXPECT_EQ(*Read(Write(text)), text);
}

TEST_F(ReadTextTest, ADashIsStandardInput) {
  std::istringstream input("one\ntwo\n");
  EXPECT_EQ(*ReadTextFrom("-", input), "one\ntwo\n");
  const absl::Status empty = ReadTextFrom("-", input).status();
  EXPECT_TRUE(absl::IsInvalidArgument(empty)) << empty;
  EXPECT_EQ(empty.message(), "standard input: is empty");
}

TEST_F(ReadTextTest, WhatIsNotUtf8IsNamedByFileAndByte) {
  const std::string path = Write("ab\xFF");
  const absl::Status status = Read(path).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(status.message(), path + ": is not UTF-8 at byte 3");
  std::istringstream input("\xC3");
  EXPECT_EQ(ReadTextFrom("-", input).status().message(),
            "standard input: is not UTF-8 at byte 1");
}

TEST_F(ReadTextTest, SaysWhichFileCannotBeReadAndWhy) {
  const std::string empty = Write("");
  EXPECT_EQ(Read(empty).status().message(), empty + ": is empty");
  const absl::Status folder = Read(folder_.path()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(folder)) << folder;
  EXPECT_EQ(folder.message(),
            folder_.path() + ": is a directory; expected a file");
  const absl::Status none = Read(folder_.File("none")).status();
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_EQ(none.message(), folder_.File("none") + ": no such file");
}

TEST_F(ReadTextTest, SaysThatAFileIsNotPermitted) {
  const std::string path = Write("a");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  const Unprivileged user;
  EXPECT_TRUE(absl::IsPermissionDenied(Read(path).status()));
}

}  // namespace
}  // namespace kvrecall
