#include "client/data/part_file.h"

#include <filesystem>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/data_testing.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PartFileTest : public FolderTest {
 protected:
  std::string path() const { return Path("a.part"); }
};

TEST_F(PartFileTest, IsThereAgainWithItsOrigin) {
  {
    auto part = PartFile::Open(path());
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ(part->size(), 0);
    ASSERT_TRUE(part->Restart({"url", "\"v\"", 10}).ok());
    ASSERT_TRUE(part->Append("abc").ok());
  }
  auto part = PartFile::Open(path());
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ(part->size(), 3);
  EXPECT_EQ(part->origin().url, "url");
  EXPECT_EQ(part->origin().validator, "\"v\"");
  EXPECT_EQ(part->origin().bytes, 10);
  ASSERT_TRUE(part->Append("de").ok());
  EXPECT_EQ(ReadFile(path()), "abcde");
  ASSERT_TRUE(part->Restart({"other", "", 0}).ok());
  ASSERT_TRUE(part->Append("x").ok());
  EXPECT_EQ(part->size(), 1);
  EXPECT_EQ(ReadFile(path()), "x");
}

TEST_F(PartFileTest, IsOneProcesssAtATime) {
  auto part = PartFile::Open(path());
  ASSERT_TRUE(part.ok()) << part.status();
  const auto second = PartFile::Open(path());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another kvrecall-client is downloading it"));
}

TEST_F(PartFileTest, ABrokenNoteIsAsGoodAsNone) {
  WriteFile(path(), "abc");
  for (const char* note : {"", "{\"url\":", "[]", "{\"url\":1}",
                           R"({"url":1,"validator":"v","bytes":1})",
                           R"({"url":"u","validator":"v","bytes":"1"})"}) {
    WriteFile(path() + ".json", note);
    const auto part = PartFile::Open(path());
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ(part->size(), 3);
    EXPECT_EQ(part->origin().url, "") << note;
  }
}

TEST_F(PartFileTest, LeavesNothingWhenItIsRemovedOrMoved) {
  auto part = PartFile::Open(path());
  ASSERT_TRUE(part->Restart({"url", "v", 1}).ok());
  ASSERT_TRUE(part->Append("x").ok());
  ASSERT_TRUE(part->MoveTo(Path("whole")).ok());
  EXPECT_THAT(NamesIn(folder_), ElementsAre("whole"));
  EXPECT_EQ(ReadFile(Path("whole")), "x");

  std::filesystem::remove(Path("whole"));
  auto second = PartFile::Open(path());
  ASSERT_TRUE(second->Restart({"url", "v", 1}).ok());
  second->Remove();
  EXPECT_THAT(NamesIn(folder_), IsEmpty());
}

TEST_F(PartFileTest, APlaceThatIsNoneIsSaid) {
  const auto part = PartFile::Open(Path("none/a.part"));
  EXPECT_EQ(part.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(part.status().message()),
              HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace kvrecall
