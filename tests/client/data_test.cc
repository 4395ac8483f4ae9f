#include "client/data.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class DataTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "kvrecall_data_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    environment_.data_home = root_ + "/home";
    environment_.executable_folder = root_ + "/source/build/release/bin";
    fs::create_directories(environment_.executable_folder);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string Touch(const std::string& name) {
    const fs::path path = fs::path(root_) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << "{}\n";
    return path.string();
  }

  std::string root_;
  Environment environment_;
};

TEST_F(DataTest, NamesAreTheTasksThenItsDataSets) {
  EXPECT_THAT(DataFileNames("musique"),
              ElementsAre("musique.jsonl", "longbench_musique.jsonl"));
  EXPECT_THAT(DataFileNames("musique_cot"),
              ElementsAre("musique_cot.jsonl", "longbench_musique_cot.jsonl",
                          "musique.jsonl", "longbench_musique.jsonl"));
  EXPECT_THAT(DataFileNames("other_cot"),
              testing::IsSupersetOf({"other.jsonl", "longbench_other.jsonl"}));
}

TEST_F(DataTest, FindsAReasoningTasksSamplesInTheUsersFolder) {
  const std::string file = Touch("home/kvrecall/data/longbench_musique.jsonl");
  EXPECT_EQ(*FindDataFile("musique", "", environment_), file);
  EXPECT_EQ(*FindDataFile("musique_cot", "", environment_), file);
}

TEST_F(DataTest, TheShortNameWins) {
  Touch("home/kvrecall/data/longbench_musique.jsonl");
  const std::string file = Touch("home/kvrecall/data/musique.jsonl");
  EXPECT_EQ(*FindDataFile("musique", "", environment_), file);
}

TEST_F(DataTest, TheDemoComesWithTheBuildTree) {
  const std::string file = Touch("source/deploy/models/nano/demo/demo.jsonl");
  EXPECT_EQ(*FindDataFile("demo", "", environment_), file);
}

TEST_F(DataTest, TheDemoComesWithAnInstallation) {
  environment_.executable_folder = root_ + "/usr/bin";
  const std::string file = Touch("usr/share/kvrecall/demo/demo.jsonl");
  EXPECT_EQ(*FindDataFile("demo", "", environment_), file);
}

TEST_F(DataTest, AGivenFileIsTakenWhateverItsName) {
  const std::string file = Touch("mine.txt");
  EXPECT_EQ(*FindDataFile("musique", file, environment_), file);
}

TEST_F(DataTest, AGivenFolderIsTheOnlyOneSearched) {
  Touch("home/kvrecall/data/musique.jsonl");
  const std::string file = Touch("given/hotpotqa.jsonl");
  EXPECT_EQ(*FindDataFile("hotpotqa", root_ + "/given", environment_), file);
  const auto missing = FindDataFile("musique", root_ + "/given", environment_);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("musique.jsonl, longbench_musique.jsonl"));
}

TEST_F(DataTest, AMissingFileNamesWhereItWasLookedFor) {
  const auto missing = FindDataFile("musique", "", environment_);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  const std::string message(missing.status().message());
  EXPECT_THAT(message, HasSubstr(root_ + "/home/kvrecall/data"));
  EXPECT_THAT(message, HasSubstr(root_ + "/source/deploy/models/nano/demo"));
  EXPECT_THAT(message, HasSubstr("--data FILE"));
  EXPECT_THAT(message, HasSubstr("'kvrecall-client data pull' or 'data add "
                                 "FILE'"));
}

TEST_F(DataTest, OnlyLongBenchsFilesAreToBePulled) {
  EXPECT_TRUE(TakesLongBenchFile("musique_cot"));
  EXPECT_TRUE(TakesLongBenchFile("lcc_e"));
  EXPECT_FALSE(TakesLongBenchFile("demo"));
  EXPECT_FALSE(TakesLongBenchFile("other"));
  const auto missing = FindDataFile("demo", "", environment_);
  EXPECT_THAT(std::string(missing.status().message()),
              testing::Not(HasSubstr("data pull")));
}

TEST_F(DataTest, AMisspelledTaskIsToldFromAMissingFile) {
  const auto missing = FindDataFile("musiqe", "", environment_);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("did you mean 'musique'?"));
}

TEST_F(DataTest, AGivenPathMustExist) {
  const auto missing = FindDataFile("demo", root_ + "/none", environment_);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("there is no such file or folder"));
}

}  // namespace
}  // namespace kvrecall
