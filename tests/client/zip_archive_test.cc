#include "client/data/zip_archive.h"

#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/data_testing.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ZipArchiveTest : public FolderTest {
 protected:
  // The content of the first member, or the error.
  absl::StatusOr<std::string> ReadFirst(const std::string& path) {
    absl::StatusOr<ZipArchive> archive = ZipArchive::Open(path);
    if (!archive.ok()) return archive.status();
    const auto members = archive->Members();
    if (!members.ok()) return members.status();
    std::string content;
    const absl::Status status =
        archive->Read(members->front(), [&](std::string_view bytes) {
          largest_piece_ = std::max(largest_piece_, bytes.size());
          content += bytes;
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    return content;
  }

  size_t largest_piece_ = 0;
};

TEST_F(ZipArchiveTest, ListsFilesWithTheirSizesAndNoFolders) {
  const auto archive = ZipArchive::Open(
      WriteZip(Path("a.zip"), {{"data/", ""}, {"data/b", "bbb"}, {"c", ""}}));
  ASSERT_TRUE(archive.ok());
  const auto members = archive->Members();
  ASSERT_TRUE(members.ok());
  ASSERT_EQ(members->size(), 2u);
  EXPECT_EQ(members->at(0).name, "data/b");
  EXPECT_EQ(members->at(0).bytes, 3);
  EXPECT_EQ(members->at(1).bytes, 0);
}

TEST_F(ZipArchiveTest, GivesALargeMemberInPieces) {
  const std::string content(3'000'000, 'x');
  EXPECT_EQ(*ReadFirst(WriteZip(Path("a.zip"), {{"b", content}})), content);
  EXPECT_LE(largest_piece_, 1u << 16);
}

TEST_F(ZipArchiveTest, AMemberWhoseChecksumIsWrongIsDamaged) {
  const std::string path = WriteZip(Path("a.zip"), {{"b", "content"}});
  std::string bytes = ReadFile(path);
  bytes[bytes.find("content")] = 'C';
  WriteFile(path, bytes);
  const auto read = ReadFirst(path);
  EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(read.status().message()),
              StartsWith(path + ": b: is damaged: CRC error"));
}

TEST_F(ZipArchiveTest, AnArchiveWithoutItsEndIsNone) {
  const std::string path = WriteZip(Path("a.zip"), {{"b", "content"}});
  WriteFile(path, ReadFile(path).substr(0, 30));
  EXPECT_EQ(ReadFirst(path).status().message(),
            path + ": is no zip archive, or its end is missing");
  EXPECT_THAT(std::string(ReadFirst(Path("none.zip")).status().message()),
              HasSubstr("No such file"));
}

TEST_F(ZipArchiveTest, TheSinksErrorEndsTheReading) {
  const auto archive =
      ZipArchive::Open(WriteZip(Path("a.zip"), {{"b", "content"}}));
  const absl::Status status = archive->Read(
      archive->Members()->front(),
      [](std::string_view) { return absl::ResourceExhaustedError("full"); });
  EXPECT_EQ(status, absl::ResourceExhaustedError("full"));
}

TEST_F(ZipArchiveTest, ANameIsShownInOneLine) {
  const auto archive =
      ZipArchive::Open(WriteZip(Path("a.zip"), {{"one\ntwö", "x"}}));
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_EQ(archive->Shown(archive->Members()->front()),
            Path("a.zip") + ": one\\ntwö");
}

}  // namespace
}  // namespace kvrecall
