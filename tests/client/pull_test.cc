#include "client/pull.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/fake_server.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PullTest : public testing::Test {
 protected:
  PullTest() : path_(folder_.File("run.db")) {
    script_ = MakeScript(1, 1);
    script_.exported = {"first ", std::string("\0\xFF\n", 3), "last"};
  }

  absl::Status Pull(bool overwrite = false, const char* run = "run-1") {
    const FakeServer server(script_);
    bytes_.clear();
    return PullRun(Connection(server.address()), run, path_, overwrite,
                   [this](int64_t bytes) { bytes_.push_back(bytes); });
  }

  std::string Content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // Names of what lies in the folder.
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.path()))
      names.push_back(entry.path().filename().string());
    return names;
  }

  TempDir folder_;
  const std::string path_;
  FakeScript script_;
  std::vector<int64_t> bytes_;  // that progress was told
};

TEST_F(PullTest, TheFileIsWhatTheServerSent) {
  const absl::Status pulled = Pull();
  ASSERT_TRUE(pulled.ok()) << pulled;
  EXPECT_EQ(Content(), "first " + std::string("\0\xFF\n", 3) + "last");
  EXPECT_THAT(Files(), ElementsAre("run.db"));
  EXPECT_THAT(bytes_, ElementsAre(6, 9, 13));
}

TEST_F(PullTest, AnEmptyFileIsOneToo) {
  script_.exported.clear();
  EXPECT_TRUE(Pull().ok());
  EXPECT_THAT(Files(), ElementsAre("run.db"));
  EXPECT_EQ(Content(), "");
}

TEST_F(PullTest, WhatIsNotWhatWasSentIsThrownAway) {
  script_.export_is_wrong = true;
  const absl::Status status = Pull();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(status.message(),
            "what came is not what the server sent (13 of 13 bytes); try "
            "again");
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(PullTest, AStreamThatBreaksLeavesNothing) {
  script_.export_breaks = true;
  const absl::Status status = Pull();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("broken by script"));
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(PullTest, ARunThatThereIsNotLeavesNothing) {
  const absl::Status status = Pull(/*overwrite=*/false, "none");
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(PullTest, AFileThatIsThereIsKeptUnlessToldOtherwise) {
  std::ofstream(path_) << "mine";
  const absl::Status status = Pull();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(status.message(), path_ + " exists; give --force to overwrite it");
  EXPECT_EQ(Content(), "mine");
  EXPECT_TRUE(Pull(/*overwrite=*/true).ok());
  EXPECT_EQ(Content().size(), 13u);
}

// Until the new one is whole, the old one stays.
TEST_F(PullTest, AnOverwriteThatFailsKeepsTheOldFile) {
  std::ofstream(path_) << "mine";
  script_.export_is_wrong = true;
  EXPECT_FALSE(Pull(/*overwrite=*/true).ok());
  EXPECT_EQ(Content(), "mine");
  EXPECT_THAT(Files(), ElementsAre("run.db"));
}

TEST_F(PullTest, APathThatCannotBeWrittenIsNamed) {
  const FakeServer server(script_);
  const Connection connection(server.address());
  const absl::Status none = PullRun(
      connection, "run-1", folder_.File("none/run.db"), false, [](int64_t) {});
  EXPECT_TRUE(absl::IsInvalidArgument(none)) << none;
  EXPECT_THAT(std::string(none.message()), HasSubstr("none/run.db"));
  // A folder in its place.
  std::filesystem::create_directories(path_ + "/full");
  const absl::Status folder =
      PullRun(connection, "run-1", path_, true, [](int64_t) {});
  EXPECT_TRUE(absl::IsInvalidArgument(folder)) << folder;
  EXPECT_THAT(Files(), ElementsAre("run.db"));
}

}  // namespace
}  // namespace kvrecall
