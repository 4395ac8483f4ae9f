#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/commands/command.h"
#include "tests/client/cli_testing.h"
#include "tests/client/data_testing.h"
#include "tests/client/file_server.h"

namespace kvrecall {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// Whole command lines of `data`. No gRPC server is there, nor needed.
class CliDataTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    setenv("no_proxy", "127.0.0.1", /*overwrite=*/1);
    environment_.server.address = "127.0.0.1:1";
    data_ = folder_ + "/kvrecall/data";
  }

  std::string MakeZip() {
    return WriteZip(folder_ + "/data.zip",
                    {{"data/trec.jsonl", SampleLines(3)},
                     {"data/musique.jsonl", SampleLines(2)},
                     {"data/new.jsonl", SampleLines(2)}});
  }

  void Serve(FileScript script) {
    files_ = std::make_unique<FileServer>(std::move(script));
    environment_.longbench_url = files_->Url();
  }
  void ServeZip() {
    FileScript script;
    script.content = ReadFile(MakeZip());
    Serve(script);
  }

  std::string data_;
  std::unique_ptr<FileServer> files_;
};

TEST_F(CliDataTest, TheGroupAloneIsWrongUse) {
  EXPECT_EQ(Run({"data"}), kExitUsage);
  EXPECT_EQ(Run({"data", "lst"}), kExitUsage);
  EXPECT_EQ(Run({"data", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("pull"));
}

TEST_F(CliDataTest, ListHasWhatIsThereAndWhatIsMissing) {
  WriteFile(data_ + "/trec.jsonl", SampleLines(3) + "\n");
  WriteFile(data_ + "/longbench_musique.jsonl", SampleLines(1));
  EXPECT_EQ(Run({"data", "list"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("data set  samples   size  also for"));
  EXPECT_THAT(out_.str(), HasSubstr("\ntrec            3  166 B"));
  EXPECT_THAT(out_.str(), HasSubstr("musique_cot  " + data_ +
                                    "/longbench_musique.jsonl\n"));
  EXPECT_THAT(out_.str(), HasSubstr("\n32 of 34 data sets have no file here:\n"
                                    "  narrativeqa, qasper,"));
  EXPECT_THAT(out_.str(), HasSubstr("'kvrecall-client data pull'"));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CliDataTest, ListJsonIsOneObject) {
  WriteFile(data_ + "/musique.jsonl", SampleLines(3));
  EXPECT_EQ(Run({"data", "list", "--json"}), kExitOk) << err_.str();
  const json result = json::parse(out_.str());
  ASSERT_EQ(result["datasets"].size(), 34u);
  EXPECT_EQ(result["missing"].size(), 33u);
  const json& musique = result["datasets"][6];
  EXPECT_EQ(musique["dataset"], "musique");
  EXPECT_EQ(musique["tasks"], json({"musique", "musique_cot"}));
  EXPECT_EQ(musique["file"], data_ + "/musique.jsonl");
  EXPECT_EQ(musique["samples"], 3);
  EXPECT_EQ(musique["bytes"],
            std::filesystem::file_size(data_ + "/musique.jsonl"));
  EXPECT_TRUE(result["datasets"][0]["file"].is_null());
}

TEST_F(CliDataTest, ListTakesAnotherFolderIfItIsThere) {
  WriteFile(folder_ + "/mine/trec.jsonl", SampleLines(1));
  EXPECT_EQ(Run({"data", "list", "--data", folder_ + "/mine"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("33 of 34"));
  EXPECT_EQ(Run({"data", "list", "--data", folder_ + "/none"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("there is no such folder"));
}

TEST_F(CliDataTest, AddPrintsWhatWasAddedAndNamesWhatWasSkipped) {
  EXPECT_EQ(Run({"data", "add", MakeZip()}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(),
            "data set  samples   size\n"
            "musique         2  110 B  added\n"
            "trec            3  165 B  added\n"
            "\n" +
                data_ + ": 2 added\n");
  EXPECT_EQ(err_.str(), "skipped, not named after a data set of LongBench: " +
                            folder_ + "/data.zip: data/new.jsonl\n");
  EXPECT_THAT(NamesIn(data_), ElementsAre("musique.jsonl", "trec.jsonl"));
}

TEST_F(CliDataTest, AddTakesSeveralAndAnotherFolder) {
  const std::string trec = WriteFile(folder_ + "/a/trec.jsonl", SampleLines(1));
  WriteFile(folder_ + "/b/lcc.jsonl", SampleLines(1));
  EXPECT_EQ(
      Run({"data", "add", trec, folder_ + "/b", "--data", folder_ + "/mine"}),
      kExitOk)
      << err_.str();
  EXPECT_THAT(NamesIn(folder_ + "/mine"),
              ElementsAre("lcc.jsonl", "trec.jsonl"));
}

TEST_F(CliDataTest, AddReplacesOnlyWithForce) {
  const std::string trec = folder_ + "/trec.jsonl";
  WriteFile(trec, SampleLines(1));
  EXPECT_EQ(Run({"data", "add", trec}), kExitOk);
  EXPECT_EQ(Run({"data", "add", trec}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("already there"));
  WriteFile(trec, SampleLines(2));
  EXPECT_EQ(Run({"data", "add", trec}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--force"));
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(Run({"data", "add", trec, "--force"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("1 replaced"));
}

TEST_F(CliDataTest, AddOfBadContentIsAUsersErrorInOneLine) {
  const std::string trec =
      WriteFile(folder_ + "/trec.jsonl", SampleLines(1) + "{\"input\":");
  EXPECT_EQ(Run({"data", "add", trec}), kExitUsage);
  EXPECT_THAT(err_.str(),
              StartsWith("kvrecall-client: " + trec + ":2: invalid JSON"));
  EXPECT_EQ(Run({"data", "add", folder_ + "/none"}), kExitUsage);
  EXPECT_EQ(Run({"data", "add"}), kExitUsage);
}

TEST_F(CliDataTest, PullDownloadsImportsAndTidiesUp) {
  ServeZip();
  EXPECT_EQ(Run({"data", "pull"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr(data_ + ": 2 added\n"));
  EXPECT_THAT(err_.str(),
              StartsWith("downloading " + files_->Url() +
                         "\ndownloaded 729 B in 0:00; checking its files\n"));
  EXPECT_THAT(NamesIn(data_), ElementsAre("musique.jsonl", "trec.jsonl"));
}

TEST_F(CliDataTest, PullTakesAUrlAFolderAndKeepsTheArchive) {
  ServeZip();
  environment_.longbench_url = "http://127.0.0.1:1/none";
  EXPECT_EQ(Run({"data", "pull", "--url", files_->Url("/moved.zip"), "--data",
                 folder_ + "/mine", "--keep"}),
            kExitOk)
      << err_.str();
  EXPECT_THAT(NamesIn(folder_ + "/mine"),
              ElementsAre("longbench.zip", "musique.jsonl", "trec.jsonl"));
  EXPECT_THAT(err_.str(), HasSubstr("kept " + folder_ + "/mine/longbench.zip"));
}

TEST_F(CliDataTest, PullShowsABarOnATerminal) {
  environment_.err_is_terminal = true;
  ServeZip();
  EXPECT_EQ(Run({"data", "pull"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("] 729 B of 729 B"));
}

TEST_F(CliDataTest, PullSaysWhatToDoWhereThereIsNoArchive) {
  ServeZip();
  const std::string url = files_->Url("/none.zip");
  EXPECT_EQ(Run({"data", "pull", "--url", url}), kExitUsage);
  EXPECT_THAT(err_.str(),
              HasSubstr("kvrecall-client: cannot download " + url +
                        ": the server answered with HTTP status 404 (not "
                        "found); it can be downloaded by hand and given to "
                        "'kvrecall-client data add FILE'\n"));
  EXPECT_THAT(NamesIn(data_), IsEmpty());
  files_.reset();
  EXPECT_EQ(Run({"data", "pull"}), kExitError);
  EXPECT_THAT(NamesIn(data_), IsEmpty());
}

TEST_F(CliDataTest, PullOfAPageSaysSoAndDoesNotKeepIt) {
  FileScript script;
  script.content = "<!DOCTYPE html>\n<title>Sign in</title>";
  Serve(script);
  EXPECT_EQ(Run({"data", "pull"}), kExitError);
  EXPECT_THAT(err_.str(), HasSubstr("what came from " + files_->Url() +
                                    " is no good and was removed: it is a web "
                                    "page, no zip archive; it can be"));
  EXPECT_THAT(NamesIn(data_), IsEmpty());
}

TEST_F(CliDataTest, PullOfADamagedArchiveDoesNotKeepIt) {
  FileScript script;
  script.content = ReadFile(MakeZip());
  script.content[script.content.find("\"context\"") + 1] = 'C';
  Serve(script);
  EXPECT_EQ(Run({"data", "pull"}), kExitError);
  EXPECT_THAT(err_.str(), HasSubstr("is damaged: CRC error"));
  EXPECT_THAT(NamesIn(data_), IsEmpty());
}

TEST_F(CliDataTest, PullDoesNotReplaceAndNeedNotDownloadAgainToDoSo) {
  ServeZip();
  WriteFile(data_ + "/trec.jsonl", SampleLines(1, "mine"));
  EXPECT_EQ(Run({"data", "pull"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--force"));
  EXPECT_THAT(NamesIn(data_),
              ElementsAre("longbench.zip.part", "longbench.zip.part.json",
                          "trec.jsonl"));
  EXPECT_EQ(Run({"data", "pull", "--force"}), kExitOk) << err_.str();
  EXPECT_THAT(err_.str(), HasSubstr("(729 B are there)"));
  EXPECT_THAT(out_.str(), HasSubstr("1 added, 1 replaced"));
  EXPECT_EQ(files_->asked()[1].range, "bytes=729-");
  EXPECT_THAT(NamesIn(data_), ElementsAre("musique.jsonl", "trec.jsonl"));
}

TEST_F(CliDataTest, CtrlCLeavesThePartForTheNextPull) {
  FileScript script;
  script.content = ReadFile(MakeZip());
  script.cuts = {500};
  // The first try gets a part; the second is where the user loses patience.
  int requests = 0;
  script.statuses = {0, 503};
  script.on_request = [&] {
    if (++requests == 2) interrupt_.Press();
  };
  Serve(script);
  EXPECT_EQ(Run({"data", "pull"}), kExitInterrupted);
  EXPECT_THAT(err_.str(),
              HasSubstr("stopped; 500 B are there, and calling it again goes "
                        "on from there\n"));
  EXPECT_EQ(std::filesystem::file_size(data_ + "/longbench.zip.part"), 500u);
}

TEST_F(CliDataTest, CtrlCBeforeAnythingCameLeavesNothing) {
  ServeZip();
  FileScript script;
  script.statuses = {503};
  script.on_request = [&] { interrupt_.Press(); };
  files_->SetScript(script);
  EXPECT_EQ(Run({"data", "pull"}), kExitInterrupted);
  EXPECT_THAT(err_.str(), HasSubstr("stopped\n"));
  EXPECT_THAT(NamesIn(data_), IsEmpty());
}

TEST_F(CliDataTest, PullOfWhatIsAllThereAsksNobody) {
  const std::string all = R"(narrativeqa qasper multifieldqa_en multifieldqa_zh
      hotpotqa 2wikimqa musique dureader gov_report qmsum multi_news vcsum trec
      triviaqa samsum lsht passage_count passage_retrieval_en
      passage_retrieval_zh lcc repobench-p qasper_e multifieldqa_en_e hotpotqa_e
      2wikimqa_e gov_report_e multi_news_e trec_e triviaqa_e samsum_e
      passage_count_e passage_retrieval_en_e lcc_e repobench-p_e)";
  std::istringstream names(all);
  for (std::string name; names >> name;) {
    WriteFile(data_ + "/" + name + ".jsonl", SampleLines(1));
  }
  ServeZip();
  EXPECT_EQ(Run({"data", "pull"}), kExitOk) << err_.str();
  EXPECT_THAT(err_.str(), HasSubstr("give --force to download them anew"));
  EXPECT_THAT(files_->asked(), IsEmpty());
  EXPECT_EQ(Run({"data", "list"}), kExitOk);
  EXPECT_THAT(out_.str(), Not(HasSubstr("no file")));
}

TEST_F(CliDataTest, TasksSayHowToGetWhatIsNotFound) {
  EXPECT_EQ(Run({"tasks"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("where a file was not found: get "
                                    "LongBench's files with 'kvrecall-client "
                                    "data pull'"));
}

TEST_F(CliDataTest, SubmitFindsWhatWasAdded) {
  EXPECT_EQ(Run({"submit", "--task", "trec"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("'kvrecall-client data pull'"));
  EXPECT_EQ(Run({"data", "add", MakeZip()}), kExitOk);
  EXPECT_EQ(Run({"submit", "--task", "trec"}), kExitError);  // no server
  EXPECT_THAT(err_.str(), HasSubstr("no server at 127.0.0.1:1"));
}

}  // namespace
}  // namespace kvrecall
