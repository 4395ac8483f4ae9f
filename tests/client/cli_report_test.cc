// Command lines that take a run away: as a database file, as a page.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/commands/command.h"
#include "tests/client/cli_testing.h"
#include "tests/client/script_database.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class CliFileTest : public CliTest {
 protected:
  // Names of what lies in the test's folder.
  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_))
      names.insert(entry.path().filename().string());
    return names;
  }

  // What a command that fails says: one line.
  std::string Complaint(const std::vector<std::string>& arguments, int code) {
    EXPECT_EQ(Run(arguments), code) << testing::PrintToString(arguments);
    EXPECT_EQ(out_.str(), "");
    const std::string text = err_.str();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    return text;
  }
};

class CliPullTest : public CliFileTest {};

TEST_F(CliPullTest, TheFileIsReadLikeTheServer) {
  FakeScript script = MakeScript(2, 3);
  script.exported = {DatabaseBytes(script)};
  Start(script);
  const std::string path = folder_ + "/run.db";
  EXPECT_EQ(Run({"pull", "run-1", "--out", path}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(), path + "\n");
  EXPECT_EQ(err_.str(),
            "read it with: kvrecall-client analyze run-1 --db " + path + "\n");
  EXPECT_THAT(Files(), ElementsAre("run.db"));

  EXPECT_EQ(Run({"show", "run-1"}), kExitOk);
  const std::string shown = out_.str();
  server_.reset();
  EXPECT_EQ(Run({"show", "run-1", "--db", path}), kExitOk) << err_.str();
  // But for when it ended, which such a file here does not say.
  const auto table = [](const std::string& text) {
    return text.substr(text.find("Recall per policy"));
  };
  EXPECT_EQ(table(out_.str()), table(shown));
}

TEST_F(CliPullTest, ARunThatGoesOnIsToldToBeOne) {
  FakeScript script = MakeScript(1, 1);
  script.run.state = RunState::kRunning;
  script.exported = {"bytes"};
  Start(script);
  EXPECT_EQ(Run({"pull", "run-1", "--out", folder_ + "/run.db"}), kExitOk);
  EXPECT_THAT(
      err_.str(),
      StartsWith("the run goes on: the file has what was recorded by now\n"));
}

TEST_F(CliPullTest, AFileThatIsThereIsOverwrittenOnlyWhenToldTo) {
  FakeScript script = MakeScript(1, 1);
  script.exported = {"bytes"};
  Start(script);
  const std::string path = folder_ + "/run.db";
  std::ofstream(path) << "mine";
  EXPECT_EQ(
      Complaint({"pull", "run-1", "--out", path}, kExitUsage),
      "kvrecall-client: " + path + " exists; give --force to overwrite it\n");
  EXPECT_EQ(ReadFile(path), "mine");
  EXPECT_EQ(Run({"pull", "run-1", "--out", path, "--force"}), kExitOk);
  EXPECT_EQ(ReadFile(path), "bytes");
}

TEST_F(CliPullTest, WhatFailsIsOneLineAndLeavesNothing) {
  FakeScript script = MakeScript(1, 1);
  script.exported = {"bytes"};
  script.export_is_wrong = true;
  const std::string path = folder_ + "/run.db";
  Start(script);
  EXPECT_THAT(Complaint({"pull", "run-1", "--out", path}, kExitError),
              HasSubstr("what came is not what the server sent"));
  EXPECT_THAT(Complaint({"pull", "none", "--out", path}, kExitUsage),
              HasSubstr("no run 'none'"));
  EXPECT_THAT(Complaint({"pull"}, kExitUsage), HasSubstr("run"));
  script.export_breaks = true;
  Start(script);
  EXPECT_THAT(Complaint({"pull", "run-1", "--out", path}, kExitError),
              HasSubstr("broken by script"));
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(CliPullTest, OnATerminalTheBytesAreShown) {
  FakeScript script = MakeScript(1, 1);
  script.exported = {std::string(1'500'000, 'x')};
  Start(script);
  environment_.err_is_terminal = true;
  EXPECT_EQ(Run({"pull", "run-1", "--out", folder_ + "/run.db"}), kExitOk);
  EXPECT_THAT(err_.str(), StartsWith("\r1.5 MB"));
  EXPECT_THAT(err_.str(), HasSubstr("1.5 MB\x1b[K\nread it with: "));
}

class CliReportTest : public CliFileTest {
 protected:
  void SetUp() override {
    CliFileTest::SetUp();
    page_ = folder_ + "/run.html";
  }

  // The run in a file, with `option`s; the page.
  std::string Report(const FakeScript& script,
                     const std::vector<std::string>& options = {}) {
    const std::string path = folder_ + "/run.db";
    fs::remove(path);
    WriteDatabase(script, path);
    std::vector<std::string> arguments = {"report", "run-1", "--db",
                                          path,     "--out", page_};
    arguments.insert(arguments.end(), options.begin(), options.end());
    EXPECT_EQ(Run(arguments), kExitOk) << err_.str();
    EXPECT_EQ(out_.str(), page_ + "\n");
    return ReadFile(page_);
  }

  // What the page's script reads.
  static json DataOf(const std::string& page) {
    const std::string tag = "<script id=\"data\" type=\"application/json\">";
    const size_t begin = page.find(tag) + tag.size();
    return json::parse(
        page.substr(begin, page.find("</script>", begin) - begin));
  }

  // Values of the attribute, wherever it stands.
  static std::vector<std::string> Values(const std::string& text,
                                         const std::string& attribute) {
    std::vector<std::string> values;
    const std::string begin = attribute + "=\"";
    for (size_t at = 0; (at = text.find(begin, at)) != std::string::npos;) {
      at += begin.size();
      values.push_back(text.substr(at, text.find('"', at) - at));
    }
    return values;
  }

  std::string page_;
};

TEST_F(CliReportTest, ThePageNeedsNothingButItself) {
  FakeScript script = MakeScript(21, 6);
  AddGaps(&script);
  const std::string page = Report(script);
  EXPECT_THAT(page, StartsWith("<!DOCTYPE html>"));
  EXPECT_TRUE(page.ends_with("</html>\n"));
  int images = 0;
  for (const std::string& source : Values(page, "src")) {
    EXPECT_THAT(source, StartsWith("data:image/")) << source.substr(0, 80);
    ++images;
    const std::string svg = "data:image/svg+xml;base64,";
    if (!source.starts_with(svg)) continue;
    std::string drawn;
    ASSERT_TRUE(absl::Base64Unescape(source.substr(svg.size()), &drawn));
    EXPECT_THAT(drawn, HasSubstr("</svg>"));
    for (const std::string& target : Values(drawn, "href"))
      EXPECT_THAT(target, StartsWith("#"));
    EXPECT_THAT(Values(drawn, "src"), IsEmpty());
  }
  EXPECT_GT(images, 3);
  for (const std::string& target : Values(page, "href"))
    EXPECT_THAT(target, StartsWith("#"));
  for (const char* other : {"@import", "url(", "<link", "fetch(", "import("})
    EXPECT_THAT(page, Not(HasSubstr(other)));
  EXPECT_THAT(Files(), ElementsAre("run.db", "run.html"));
}

TEST_F(CliReportTest, TheVerdictComesBeforeTheFigures) {
  const std::string page = Report(MakeScript(3, 4));
  size_t last = 0;
  for (const char* part :
       {"id=\"verdict\"", "class=\"verdict\"", "id=\"figures\"", "<figure",
        "id=\"tables\"", "id=\"texts\"", "id=\"provenance\"", "id=\"data\""}) {
    const size_t at = page.find(part);
    ASSERT_NE(at, std::string::npos) << part;
    EXPECT_GT(at, last) << part;
    last = at;
  }
  EXPECT_THAT(page, HasSubstr("Does high entropy tell when h2o (scope global) "
                              "has lost what the model needs?"));
}

TEST_F(CliReportTest, TheTextsAreThereTokenByToken) {
  const FakeScript script = MakeScript(3, 4);
  const json data = DataOf(Report(script, {"--tau", "0.4"}));
  EXPECT_EQ(data["policies"].dump(), R"(["h2o","oracle"])");
  EXPECT_EQ(data["policy"], 0);
  EXPECT_EQ(data["budget"], 0);
  EXPECT_EQ(data["tau"], 0.4);
  EXPECT_EQ(data["has_lost"], true);
  ASSERT_EQ(data["samples"].size(), 3u);
  EXPECT_EQ(data["samples"][2]["steps"].size(), 4u);
  EXPECT_EQ(data["samples"][2]["question"], QuestionOf("s3"));
}

// A model may say anything, and a sample ask it.
TEST_F(CliReportTest, TextOfTheRunEndsNeitherScriptNorElement) {
  FakeScript script = MakeScript(2, 2);
  const std::string evil = "</script><script>alert('\"&')</script><!--";
  std::get<StepRecord>(script.events[1].body).token = evil;
  std::get<StepRecord>(script.events[2].body).token = "\xFF\x01";
  script.run.provenance.model = evil;
  script.run.provenance.prompt_template = evil;
  script.events[4].body = SampleStart{20, 20, false, 0, 0, ""};
  script.events[7].body = SampleFailure{"ENGINE_ERROR", evil};
  const std::string page = Report(script);
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("<!--")));
  const auto count = [&page](const std::string& text) {
    int n = 0;
    for (size_t at = 0; (at = page.find(text, at)) != std::string::npos; ++at)
      ++n;
    return n;
  };
  EXPECT_EQ(count("<script"), 2);
  EXPECT_EQ(count("</script>"), 2);
  const json data = DataOf(page);
  EXPECT_EQ(data["samples"][0]["steps"][0][0], evil);
  EXPECT_EQ(data["samples"][1]["reason"], evil);
  EXPECT_EQ(data["samples"][0]["texts"]["2"], "</script>");
}

TEST_F(CliReportTest, OfManySamplesTheFirstAreShownAndThePageSaysSo) {
  const FakeScript script = MakeScript(4, 2);
  const std::string page = Report(script, {"--samples", "3"});
  EXPECT_EQ(DataOf(page)["samples"].size(), 3u);
  EXPECT_THAT(page, HasSubstr("The first 3 of 4 samples; the report takes more "
                              "with --samples N."));
  EXPECT_THAT(page, HasSubstr("4 samples, 8 steps"));
  EXPECT_THAT(Report(script, {"--samples", "4", "--force"}),
              Not(HasSubstr("The first")));
}

TEST_F(CliReportTest, ARunThatIsNotWholeSaysSo) {
  FakeScript script = MakeScript(2, 2);
  EXPECT_THAT(Report(script), Not(HasSubstr("The run")));
  script.run.state = RunState::kRunning;
  script.run.samples_done = 1;
  EXPECT_THAT(Report(script, {"--force"}),
              HasSubstr("The run goes on: 1 of 2 samples are done; this is "
                        "what has been recorded so far."));
  script.run.state = RunState::kCancelled;
  EXPECT_THAT(Report(script, {"--force"}),
              HasSubstr("The run was cancelled: 1 of 2 samples were done."));
  script.run.state = RunState::kPartiallyFailed;
  script.run.samples_failed = 1;
  EXPECT_THAT(Report(script, {"--force"}), HasSubstr("1 of 2 samples failed;"));
}

TEST_F(CliReportTest, TheSameRunGivesTheSamePage) {
  const FakeScript script = MakeScript(3, 3);
  const std::string once = Report(script);
  EXPECT_TRUE(Report(script, {"--force"}) == once);
}

TEST_F(CliReportTest, AServersRunGivesThePageOfItsFile) {
  FakeScript script = MakeScript(3, 3);
  const std::string page = Report(script);
  script.exported = {ReadFile(folder_ + "/run.db")};
  fs::remove(folder_ + "/run.db");
  Start(script);
  EXPECT_EQ(Run({"report", "run-1", "--out", page_, "--force"}), kExitOk)
      << err_.str();
  EXPECT_TRUE(ReadFile(page_) == page);
  EXPECT_THAT(Files(), ElementsAre("run.html"));
}

TEST_F(CliReportTest, AFileThatIsThereIsOverwrittenOnlyWhenToldTo) {
  std::ofstream(page_) << "mine";
  WriteDatabase(MakeScript(2, 2), folder_ + "/run.db");
  EXPECT_EQ(
      Complaint(
          {"report", "run-1", "--db", folder_ + "/run.db", "--out", page_},
          kExitUsage),
      "kvrecall-client: " + page_ + " exists; give --force to overwrite it\n");
  EXPECT_EQ(ReadFile(page_), "mine");
  EXPECT_THAT(Report(MakeScript(2, 2), {"--force"}), StartsWith("<!DOCTYPE"));
}

TEST_F(CliReportTest, ARunThatCannotBeReportedIsOneLineAndNoFile) {
  const auto complaint = [&](const FakeScript& script, const char* run,
                             int code) {
    const std::string path = folder_ + "/run.db";
    WriteDatabase(script, path);
    const std::string text =
        Complaint({"report", run, "--db", path, "--out", page_}, code);
    fs::remove(path);
    EXPECT_THAT(Files(), IsEmpty());
    return text;
  };
  FakeScript script = MakeScript(1, 1);
  EXPECT_THAT(complaint(script, "none", kExitUsage), HasSubstr("'none'"));
  const std::string no_steps =
      "kvrecall-client: the run has no steps yet; there is nothing to report\n";
  script.events.resize(1);  // the sample's start
  script.run.last_sequence = 1;
  EXPECT_EQ(complaint(script, "run-1", kExitError), no_steps);
  script.events.clear();
  script.run.last_sequence = 0;
  EXPECT_EQ(complaint(script, "run-1", kExitError), no_steps);
  EXPECT_THAT(Complaint({"report", "run-1", "--db", folder_ + "/none.db",
                         "--out", page_},
                        kExitUsage),
              HasSubstr("none.db"));
  Start(script);
  EXPECT_THAT(Complaint({"report", "none", "--out", page_}, kExitUsage),
              HasSubstr("no run 'none'"));
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(CliReportTest, APageThatCannotBeWrittenLeavesNothing) {
  const std::string path = folder_ + "/run.db";
  WriteDatabase(MakeScript(1, 2), path);
  EXPECT_THAT(Complaint({"report", "run-1", "--db", path, "--out",
                         folder_ + "/none/run.html"},
                        kExitUsage),
              HasSubstr("none/run.html"));
  // A folder in its place.
  fs::create_directories(page_ + "/full");
  EXPECT_THAT(
      Complaint({"report", "run-1", "--db", path, "--out", page_, "--force"},
                kExitUsage),
      HasSubstr("cannot rename"));
  EXPECT_THAT(Files(), ElementsAre("run.db", "run.html"));
}

}  // namespace
}  // namespace kvrecall
