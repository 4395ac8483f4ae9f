#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <sys/resource.h>

#include "client/data/datasets.h"
#include "client/data/import.h"
#include "tests/client/data_testing.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using Change = ImportedFile::Change;

class DataImportTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    options_.folder = Path("home/data");
  }

  absl::StatusOr<ImportResult> Import(const std::vector<std::string>& paths) {
    return ImportData(paths, options_);
  }

  // The message of an import that must fail like this.
  std::string Complaint(const std::vector<std::string>& paths,
                        absl::StatusCode code) {
    const auto result = Import(paths);
    EXPECT_EQ(result.status().code(), code) << result.status();
    return std::string(result.status().message());
  }
  std::string Refusal(const std::vector<std::string>& paths) {
    return Complaint(paths, absl::StatusCode::kInvalidArgument);
  }

  std::vector<std::string> There() const { return NamesIn(options_.folder); }

  ImportOptions options_;
};

TEST(DatasetsTest, AreLongBenchsTwentyOneAndTheThirteenOfE) {
  EXPECT_EQ(LongBenchDatasets().size(), 34u);
  EXPECT_EQ(DatasetOfFile("repobench-p_e.jsonl"), "repobench-p_e");
  EXPECT_EQ(DatasetOfFile("longbench_musique.jsonl"), "musique");
  EXPECT_EQ(DatasetOfFile("demo.jsonl"), std::nullopt);
  EXPECT_EQ(DatasetOfFile("hotpotqa_cot.jsonl"), std::nullopt);
  EXPECT_EQ(DatasetOfFile("hotpotqa.json"), std::nullopt);
  EXPECT_EQ(DatasetOfFile(".jsonl"), std::nullopt);
  EXPECT_THAT(TasksOf("hotpotqa"), ElementsAre("hotpotqa", "hotpotqa_cot"));
}

TEST_F(DataImportTest, AFileIsCopiedToAFolderThatIsMade) {
  const std::string lines = SampleLines(3);
  const auto result = Import({WriteFile(Path("trec.jsonl"), lines)});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->files.size(), 1u);
  EXPECT_EQ(result->files[0].dataset, "trec");
  EXPECT_EQ(result->files[0].samples, 3);
  EXPECT_EQ(result->files[0].bytes, std::ssize(lines));
  EXPECT_EQ(result->files[0].change, Change::kAdded);
  EXPECT_THAT(There(), ElementsAre("trec.jsonl"));
  EXPECT_EQ(ReadFile(options_.folder + "/trec.jsonl"), lines);
}

TEST_F(DataImportTest, AFolderIsSearchedItselfAndItsData) {
  WriteFile(Path("in/longbench_qasper.jsonl"), SampleLines(1));
  WriteFile(Path("in/data/lcc.jsonl"), SampleLines(2));
  WriteFile(Path("in/other.jsonl"), "no JSON at all");
  WriteFile(Path("in/README.md"), "read me");
  WriteFile(Path("in/deep/er/trec.jsonl"), SampleLines(1));
  const auto result = Import({Path("in")});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(There(), ElementsAre("lcc.jsonl", "qasper.jsonl"));
  EXPECT_EQ(result->files[0].dataset, "qasper");  // the tasks' order
  EXPECT_THAT(result->skipped, ElementsAre(Path("in/other.jsonl")));
}

TEST_F(DataImportTest, AnArchivesMembersAreTakenByTheirBaseNames) {
  const auto result = Import(
      {WriteZip(Path("data.zip"), {{"data/", ""},
                                   {"data/trec.jsonl", SampleLines(1, "b")},
                                   {"data/trec_e.jsonl", SampleLines(2, "c")},
                                   {"data/new.jsonl", ""},
                                   {"__MACOSX/data/._trec.jsonl", "junk"}})});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(There(), ElementsAre("trec.jsonl", "trec_e.jsonl"));
  EXPECT_EQ(ReadFile(options_.folder + "/trec_e.jsonl"), SampleLines(2, "c"));
  EXPECT_THAT(result->skipped,
              ElementsAre(Path("data.zip") + ": data/new.jsonl"));
}

TEST_F(DataImportTest, NoMembersNameLeadsOutOfTheFolder) {
  const std::string escapee = Path("home/musique.jsonl");
  const auto result = Import(
      {WriteZip(Path("data.zip"), {{"../musique.jsonl", SampleLines(1)},
                                   {"/" + Path("qasper.jsonl"), SampleLines(1)},
                                   {"..\\trec.jsonl", SampleLines(1)},
                                   {"lcc.jsonl/..", SampleLines(1)}})});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(There(), ElementsAre("musique.jsonl", "qasper.jsonl"));
  EXPECT_THAT(NamesIn(Path("home")), ElementsAre("data"));
  EXPECT_THAT(NamesIn(folder_), ElementsAre("data.zip", "home"));
}

TEST_F(DataImportTest, AZipIsKnownByItsContentToo) {
  const auto result =
      Import({WriteZip(Path("download"), {{"trec.jsonl", SampleLines(1)}})});
  EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(DataImportTest, TheSameBytesAreLeftAlone) {
  const std::string path = WriteFile(Path("trec.jsonl"), SampleLines(2));
  ASSERT_TRUE(Import({path}).ok());
  const auto before = fs::last_write_time(options_.folder + "/trec.jsonl");
  const auto again = Import({path});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->files[0].change, Change::kAlreadyThere);
  EXPECT_EQ(fs::last_write_time(options_.folder + "/trec.jsonl"), before);
  EXPECT_THAT(There(), ElementsAre("trec.jsonl"));
}

TEST_F(DataImportTest, OtherBytesAreReplacedOnlyWhenToldTo) {
  const std::string there = options_.folder + "/trec.jsonl";
  WriteFile(there, SampleLines(2, "old"));
  WriteFile(Path("in/trec.jsonl"), SampleLines(2, "new"));
  WriteFile(Path("in/lcc.jsonl"), SampleLines(2));
  EXPECT_THAT(Complaint({Path("in")}, absl::StatusCode::kAlreadyExists),
              AllOf(StartsWith("trec.jsonl is in " + options_.folder),
                    HasSubstr("nothing was changed"), HasSubstr("--force")));
  EXPECT_THAT(There(), ElementsAre("trec.jsonl"));
  EXPECT_EQ(ReadFile(there), SampleLines(2, "old"));

  options_.replace = true;
  const auto forced = Import({Path("in")});
  ASSERT_TRUE(forced.ok()) << forced.status();
  EXPECT_EQ(forced->files[0].change, Change::kReplaced);
  EXPECT_EQ(forced->files[1].change, Change::kAdded);
  EXPECT_EQ(ReadFile(there), SampleLines(2, "new"));
}

TEST_F(DataImportTest, ABadLineIsNamedAndNothingIsTaken) {
  WriteFile(Path("in/qasper.jsonl"), SampleLines(1));
  const std::string bad = Path("in/trec.jsonl");
  WriteFile(bad, SampleLines(2) + "{\"input\":\"cut o");
  EXPECT_THAT(Refusal({Path("in")}), StartsWith(bad + ":3: invalid JSON"));
  WriteFile(bad, SampleLines(1) + "{\"input\":1}\n");
  EXPECT_THAT(Refusal({Path("in")}), StartsWith(bad + ":2: field 'input'"));
  WriteFile(bad, "\n");
  EXPECT_THAT(Refusal({Path("in")}), StartsWith(bad + ": holds no samples"));
  EXPECT_THAT(There(), IsEmpty());
}

TEST_F(DataImportTest, ABadLineOfAMemberIsNamedWithItsArchive) {
  const std::string path = WriteZip(
      Path("data.zip"), {{"data/trec.jsonl", SampleLines(1) + "{}\n"}});
  EXPECT_THAT(Refusal({path}),
              StartsWith(path + ": data/trec.jsonl:2: field 'input'"));
}

TEST_F(DataImportTest, ADamagedMemberTakesNothing) {
  const std::string path =
      WriteZip(Path("data.zip"), {{"data/lcc.jsonl", SampleLines(1, "one")},
                                  {"data/trec.jsonl", SampleLines(1, "two")}});
  std::string bytes = ReadFile(path);
  bytes.replace(bytes.find("two"), 3, "TWO");
  WriteFile(path, bytes);
  EXPECT_THAT(Refusal({path}), HasSubstr("data/trec.jsonl: is damaged"));
  EXPECT_THAT(There(), IsEmpty());
}

TEST_F(DataImportTest, AMemberThatWouldFillTheDiskIsNotUnpacked) {
  const std::string path =
      WriteZip(Path("data.zip"), {{"trec.jsonl", SampleLines(1)}});
  std::string bytes = ReadFile(path);
  // The size in the archive's list: 24 bytes behind the entry's mark.
  bytes.replace(bytes.find("PK\x01\x02") + 24, 4, "\xff\xff\xff\x7f");
  WriteFile(path, bytes);
  EXPECT_THAT(Refusal({path}), HasSubstr("unpacks to 2147483647 bytes"));
}

TEST_F(DataImportTest, WhatIsNoSourceIsSaid) {
  EXPECT_THAT(Complaint({Path("none")}, absl::StatusCode::kNotFound),
              StartsWith(Path("none") + ": there is no such file"));
  EXPECT_THAT(Refusal({WriteFile(Path("notes.txt"), "text")}),
              HasSubstr("neither a folder, a .jsonl file nor a zip archive"));
  EXPECT_THAT(Refusal({WriteFile(Path("mine.jsonl"), SampleLines(1))}),
              HasSubstr("not named after a data set of LongBench"));
  fs::create_directory(Path("empty"));
  EXPECT_THAT(Refusal({Path("empty")}),
              HasSubstr("no file of LongBench's there"));
  EXPECT_THAT(Refusal({WriteFile(Path("page.zip"), "<html>")}),
              HasSubstr("is no zip archive"));
}

TEST_F(DataImportTest, TwoFilesOfOneDataSetAreNoChoiceOfOurs) {
  WriteFile(Path("a/trec.jsonl"), SampleLines(1));
  WriteFile(Path("b/longbench_trec.jsonl"), SampleLines(2));
  options_.replace = true;
  EXPECT_THAT(Refusal({Path("a"), Path("b")}),
              HasSubstr("are both data of trec; give one of them"));
}

TEST_F(DataImportTest, ItsOwnFolderIsAFineSource) {
  WriteFile(options_.folder + "/trec.jsonl", SampleLines(1));
  const auto result = Import({options_.folder});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->files[0].change, Change::kAlreadyThere);
}

TEST_F(DataImportTest, AnInterruptLeavesNothing) {
  options_.cancelled = [] { return true; };
  Complaint({WriteFile(Path("trec.jsonl"), SampleLines(1))},
            absl::StatusCode::kCancelled);
  EXPECT_THAT(There(), IsEmpty());
}

TEST_F(DataImportTest, AFolderThatCannotBeMadeIsSaid) {
  options_.folder = WriteFile(Path("file"), "") + "/data";
  EXPECT_THAT(Complaint({WriteFile(Path("trec.jsonl"), SampleLines(1))},
                        absl::StatusCode::kFailedPrecondition),
              StartsWith("cannot make the folder " + options_.folder));
}

// A limit on the size of files stands for a disk that is full.
TEST_F(DataImportTest, AFullDiskIsSaidAndNothingStays) {
  const std::string path = WriteFile(Path("trec.jsonl"), SampleLines(100));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string complaint =
      Complaint({path}, absl::StatusCode::kResourceExhausted);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_THAT(complaint,
              AllOf(StartsWith("cannot write "), HasSubstr("too large")));
  EXPECT_THAT(There(), IsEmpty());
}

}  // namespace
}  // namespace kvrecall
