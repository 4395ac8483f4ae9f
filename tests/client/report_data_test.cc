#include "client/report/report_data.h"

#include <string>
#include <variant>

#include "gtest/gtest.h"

#include "tests/client/script_database.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

class ReportDataTest : public testing::Test {
 protected:
  absl::StatusOr<ReportData> Read(const FakeScript& script, int64_t shown = 50,
                                  const char* run = "run-1") {
    const std::string path = folder_.File(std::to_string(files_++) + ".db");
    WriteDatabase(script, path);
    return ReadReportData(path, run, shown);
  }

  TempDir folder_;
  int files_ = 0;
};

TEST_F(ReportDataTest, HasTheRunItsNumbersAndItsTexts) {
  const auto data = Read(MakeScript(3, 4));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->run.run_id, "run-1");
  EXPECT_EQ(data->table.steps(), 12);
  EXPECT_EQ(data->summary.samples_done, 3);
  EXPECT_EQ(data->samples, 3);
  EXPECT_EQ(data->shown, 3);
  const Json tokens = data->tokens.ToJson();
  ASSERT_EQ(tokens["samples"].size(), 3u);
  for (size_t s = 0; s < 3; ++s) {
    const Json& sample = tokens["samples"][s];
    EXPECT_EQ(sample["id"], "s" + std::to_string(s + 1));
    EXPECT_EQ(sample["question"], QuestionOf(sample["id"]));
    EXPECT_EQ(sample["steps"].size(), 4u);
    EXPECT_EQ(sample["texts"].dump(), R"({"2":"</script>","7":" lost"})");
  }
}

// All samples count, the first are shown.
TEST_F(ReportDataTest, ShowsTheFirstSamplesInTheOrderOfTheRun) {
  FakeScript script = MakeScript(12, 2);
  const auto data = Read(script, 11);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->samples, 12);
  EXPECT_EQ(data->shown, 11);
  EXPECT_EQ(data->table.steps(), 24);
  const Json tokens = data->tokens.ToJson();
  ASSERT_EQ(tokens["samples"].size(), 11u);
  // By number, not by name.
  EXPECT_EQ(tokens["samples"][1]["id"], "s2");
  EXPECT_EQ(tokens["samples"][9]["id"], "s10");
  EXPECT_EQ(Read(script, 0)->tokens.ToJson()["samples"], Json::array());
}

TEST_F(ReportDataTest, OnlyTheAttemptThatCountsIsShown) {
  FakeScript script = MakeScript(1, 3);
  script.events.pop_back();  // the run goes on
  std::vector<Event> again = script.events;
  script.events.resize(3);  // start and two steps, then a crash
  for (Event& event : again) {
    event.attempt = 2;
    event.sequence += 3;
    script.events.push_back(event);
  }
  script.run.last_sequence = 8;
  const auto data = Read(script);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->table.steps(), 3);
  EXPECT_EQ(data->tokens.ToJson()["samples"][0]["steps"].size(), 3u);
}

// A server commits while its database is read: what came later is left out.
TEST_F(ReportDataTest, ASampleThatBeganMeanwhileIsNotYetShown) {
  FakeScript script = MakeScript(2, 2);
  script.run.last_sequence = 4;  // the first sample's
  const auto data = Read(script);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->table.steps(), 2);
  const Json samples = data->tokens.ToJson()["samples"];
  ASSERT_GE(samples.size(), 1u);
  EXPECT_EQ(samples[0]["steps"].size(), 2u);
}

TEST_F(ReportDataTest, SaysWhyThereIsNothingToReport) {
  EXPECT_TRUE(absl::IsNotFound(
      ReadReportData(folder_.File("no.db"), "run-1", 1).status()));
  FakeScript script = MakeScript(1, 1);
  EXPECT_TRUE(absl::IsNotFound(Read(script, 1, "none").status()));
  script.events.resize(1);
  script.run.last_sequence = 1;
  const absl::Status started = Read(script).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  script.events.clear();
  script.run.last_sequence = 0;
  const absl::Status empty = Read(script).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(empty)) << empty;
  EXPECT_EQ(empty.message(),
            "the run has no steps yet; there is nothing to report");
}

}  // namespace
}  // namespace kvrecall
