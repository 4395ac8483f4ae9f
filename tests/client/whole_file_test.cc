#include "client/whole_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class WholeFileTest : public testing::Test {
 protected:
  WholeFileTest() : path_(folder_.File("file")), part_(path_ + ".part") {}

  // Writes `text` and gives it the name, or not.
  absl::Status Write(const std::string& text, bool overwrite,
                     bool commit = true) {
    auto file = WholeFile::Create(path_, overwrite);
    if (!file.ok()) return file.status();
    (*file)->stream() << text;
    EXPECT_TRUE((*file)->Check().ok());
    EXPECT_TRUE(fs::exists(part_));
    return commit ? (*file)->Commit() : absl::OkStatus();
  }

  std::string Content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TempDir folder_;
  const std::string path_, part_;
};

TEST_F(WholeFileTest, IsThereOnceItIsCommitted) {
  EXPECT_TRUE(Write("text\r\n", /*overwrite=*/false).ok());
  EXPECT_EQ(Content(), "text\r\n");
  EXPECT_FALSE(fs::exists(part_));
}

TEST_F(WholeFileTest, WithoutCommitNothingIsLeft) {
  EXPECT_TRUE(Write("text", /*overwrite=*/false, /*commit=*/false).ok());
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(WholeFileTest, AFileThatIsThereIsKeptUnlessToldOtherwise) {
  std::ofstream(path_) << "mine";
  const absl::Status status = Write("text", /*overwrite=*/false);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(status.message(), path_ + " exists; give --force to overwrite it");
  EXPECT_FALSE(fs::exists(part_));
  EXPECT_TRUE(Write("text", /*overwrite=*/true, /*commit=*/false).ok());
  EXPECT_EQ(Content(), "mine");
  EXPECT_TRUE(Write("text", /*overwrite=*/true).ok());
  EXPECT_EQ(Content(), "text");
}

TEST_F(WholeFileTest, WhereItsNameCannotBeTakenNothingIsLeft) {
  fs::create_directories(path_ + "/full");
  const absl::Status status = Write("text", /*overwrite=*/true);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot rename"));
  EXPECT_FALSE(fs::exists(part_));
  EXPECT_TRUE(fs::exists(path_ + "/full"));
}

// Only what it made is its own to remove.
TEST_F(WholeFileTest, WhereItCannotBeginWhatIsThereStays) {
  fs::create_directory(part_);
  const absl::Status status = Write("text", /*overwrite=*/false);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(part_));
  EXPECT_TRUE(fs::is_directory(part_));
  const auto nowhere = WholeFile::Create(folder_.File("none/file"), false);
  EXPECT_TRUE(absl::IsInvalidArgument(nowhere.status())) << nowhere.status();
}

TEST_F(WholeFileTest, ADiskThatTakesNoMoreIsAnErrorAndLeavesNothing) {
  auto file = WholeFile::Create(path_, /*overwrite=*/false);
  ASSERT_TRUE(file.ok()) << file.status();
  (*file)->stream().setstate(std::ios::badbit);
  EXPECT_TRUE(absl::IsResourceExhausted((*file)->Check()));
  const absl::Status status = (*file)->Commit();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(status.message(), "cannot write " + part_ + ": is the disk full?");
  file->reset();
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace kvrecall
