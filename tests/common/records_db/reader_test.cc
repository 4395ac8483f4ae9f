#include "common/records_db/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/json.h"
#include "common/records_db/schema.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Rows written by hand, so that the client's build has a test of the reader
// that needs no server.
class ReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = OpenForWriting(dir_.File("runs.db"), {});
    ASSERT_TRUE(database.ok()) << database.status();
    db_ = *std::move(database);
    config_.task = "hotpotqa";
    config_.policies = {{"h2o", {}}};
    config_.scopes = {Scope::kGlobal, Scope::kLayer};
    config_.budgets = {{Budget::Kind::kCurrentRatio, 0.2}};
    config_.gaps = *ParseGapSpecs("without_gold(0.2),only_pred(h2o,0.2)");
    auto reader = RecordsReader::Open(db_->path());
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_ = *std::move(reader);
  }

  void AddRun(int64_t id, int64_t last_sequence) {
    ASSERT_TRUE(db_->Run("INSERT INTO runs VALUES (?1, ?2, ?2, '', 'running', "
                         "?3, ?4, 0, 2, 0, 1, ?5, 1000000, NULL, '', 0, NULL)",
                         id, "run" + std::to_string(id),
                         ConfigToJson(config_).dump(),
                         ProvenanceToJson(Provenance()).dump(), last_sequence)
                    .ok());
  }

  void AddEvents() {
    AddRun(1, 3);
    ASSERT_TRUE(
        db_->Exec(
               "INSERT INTO samples (id, run, ordinal, sample_id, state, "
               "attempt, "
               "  recorded_attempt, submitted_us) "
               "  VALUES (1, 1, 1, 's', 'running', 2, 2, 0);"
               "INSERT INTO sample_events VALUES (1, 1, 'sample_started', 1, "
               "2, "
               "  '{\"prompt_tokens\": 5, \"raw_prompt_tokens\": 6, "
               "    \"truncated\": true, \"queue_seconds\": 0.25, "
               "    \"length\": 7}');"
               "INSERT INTO steps VALUES (1, 2, 1, 2, 1, 5, 42, 'x', 0.5, "
               "-0.25, "
               "  0.75, 0.125, 2.5, 0.0625);"
               "INSERT INTO step_recalls VALUES "
               "  (1, 2, 0, 1, 0.5, 0.25, NULL, 0.75, 1.0, NULL, NULL, NULL, "
               "   NULL, '[[3,0.25,\" a\"],[0,0.1,\"b\"]]'),"
               "  (1, 2, 1, 1, 0.5, 0.25, 0.5, 0.75, 1.0, "
               "   x'0000803f00000040', 0.0, 0.375, 1.5, NULL);"
               "INSERT INTO step_gaps VALUES "
               "  (1, 2, 0, 0.5, -0.25, 0.125, 42, 1),"
               "  (1, 2, 1, 0.0, 0.25, -1.5, 7, 0);"
               "INSERT INTO sample_events VALUES (1, 3, 'sample_failed', 1, 2, "
               "  '{\"reason\": \"R\", \"message\": \"m\"}');")
            .ok());
  }

  TempDir dir_;
  RunConfig config_;
  std::unique_ptr<Database> db_;
  std::unique_ptr<RecordsReader> reader_;
};

TEST_F(ReaderTest, RebuildsEvents) {
  AddEvents();
  const auto events = reader_->ReadAfter("run1", 0, 10);
  ASSERT_TRUE(events.ok()) << events.status();
  StepRecord step{1, 5, 42, "x", 0.5, -0.25, 0.75, 0.125, 2.5, 0.0625, {}, {}};
  const std::optional<double> none;
  step.recalls = {
      {1,
       0.5,
       0.25,
       none,
       0.75,
       1.0,
       none,
       none,
       none,
       {},
       {{3, 0.25f, " a"}, {0, 0.1f, "b"}}},
      {1, 0.5, 0.25, 0.5, 0.75, 1.0, 0.0, 0.375, 1.5, {1.0f, 2.0f}, {}}};
  step.gaps = {{0.5, -0.25, 0.125, 42, true}, {0.0, 0.25, -1.5, 7, false}};
  EXPECT_EQ((*events)[0],
            (Event{1, "s", 2, SampleStart{5, 6, true, 0.25, 7, ""}}));
  EXPECT_EQ((*events)[1], (Event{2, "s", 2, step}));
  EXPECT_EQ((*events)[2], (Event{3, "s", 2, SampleFailure{"R", "m"}}));
}

TEST_F(ReaderTest, PagesOfEventsJoin) {
  AddEvents();
  const auto whole = reader_->ReadAfter("run1", 0, 10);
  for (int64_t after = 0; after < 3; ++after) {
    const auto page = reader_->ReadAfter("run1", after, 1);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_THAT(*page, SizeIs(1));
    EXPECT_EQ(page->front(), (*whole)[after]);
  }
  EXPECT_THAT(*reader_->ReadAfter("run1", 3, 1), IsEmpty());
}

TEST_F(ReaderTest, BadArgumentsAreToldApart) {
  AddEvents();
  EXPECT_TRUE(absl::IsOutOfRange(reader_->ReadAfter("run1", 4, 1).status()));
  EXPECT_TRUE(absl::IsOutOfRange(reader_->ReadAfter("run1", -1, 1).status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->ReadAfter("run2", 0, 1).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(reader_->ReadAfter("run1", 0, 0).status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->GetRun("").status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->ListSamples("run2", 0, 1).status()));
}

// A damaged file is told, not read as if nothing were missing.
TEST_F(ReaderTest, AGapIsDataLoss) {
  AddEvents();
  ASSERT_TRUE(db_->Run("DELETE FROM steps").ok());
  const absl::Status status = reader_->ReadAfter("run1", 0, 10).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(db_->path()));
}

TEST_F(ReaderTest, AMissingRecallIsDataLoss) {
  AddEvents();
  ASSERT_TRUE(db_->Run("DELETE FROM step_recalls WHERE lane = 0").ok());
  EXPECT_TRUE(absl::IsDataLoss(reader_->ReadAfter("run1", 0, 10).status()));
}

TEST_F(ReaderTest, AMissingGapIsDataLoss) {
  AddEvents();
  ASSERT_TRUE(db_->Run("DELETE FROM step_gaps WHERE gap = 0").ok());
  EXPECT_TRUE(absl::IsDataLoss(reader_->ReadAfter("run1", 0, 10).status()));
}

TEST_F(ReaderTest, GapScoresAreThoseOfTheSample) {
  AddEvents();
  const auto set = [this](const char* scores) {
    ASSERT_TRUE(
        db_->Run("UPDATE samples SET state = 'done', prompt_tokens = 5, "
                 "raw_prompt_tokens = 6, truncated = 0, "
                 "queue_seconds = 0, generated_tokens = 1, text = 't', "
                 "score = 0.5, finish_reason = 'eos', "
                 "prefill_seconds = 1, decode_seconds = 1, "
                 "gap_scores = ?1",
                 scores == nullptr ? std::optional<std::string>()
                                   : std::optional<std::string>(scores))
            .ok());
  };
  set("[0.5,0.1]");
  auto samples = reader_->ListSamples("run1", 0, 10);
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_EQ((*samples)[0].result->gap_scores, (std::vector<double>{0.5, 0.1}));
  set(nullptr);
  samples = reader_->ListSamples("run1", 0, 10);
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_THAT((*samples)[0].result->gap_scores, IsEmpty());
  set("0.5,");
  EXPECT_FALSE(reader_->ListSamples("run1", 0, 10).ok());
}

TEST_F(ReaderTest, ListsRunsNewestFirstInPages) {
  for (int64_t id = 1; id <= 5; ++id) AddRun(id, 0);
  std::vector<std::string> names;
  std::string token;
  int pages = 0;
  do {
    const auto page = reader_->ListRuns(2, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const RunInfo& run : page->first) names.push_back(run.run_id);
    token = page->second;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(names,
            (std::vector<std::string>{"run5", "run4", "run3", "run2", "run1"}));
  EXPECT_EQ(pages, 3);
}

TEST_F(ReaderTest, ABadPageTokenIsRefused) {
  for (const char* token :
       {"x", "runs-before-", "runs-before-0x1", "runs-before--1",
        "runs-before-99999999999999999999"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(reader_->ListRuns(2, token).status()))
        << token;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(reader_->ListRuns(0, "").status()));
}

TEST_F(ReaderTest, GetRunGivesTheConfiguration) {
  AddRun(1, 0);
  const auto run = reader_->GetRun("run1");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->config, config_);
  EXPECT_EQ(run->state, RunState::kRunning);
  EXPECT_TRUE(run->complete == false && run->samples_submitted == 2);
  EXPECT_EQ(run->create_time, absl::FromUnixSeconds(1));
  EXPECT_EQ(run->end_time, std::nullopt);
  EXPECT_EQ(run->deadline, std::nullopt);
  ASSERT_TRUE(db_->Exec("UPDATE runs SET deadline_us = 3000000").ok());
  EXPECT_EQ(reader_->GetRun("run1")->deadline, absl::FromUnixSeconds(3));
}

TEST_F(ReaderTest, TheOverviewCountsRunsSamplesAndPages) {
  const auto empty = reader_->Overview();
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(empty->runs, 0);
  EXPECT_EQ(empty->oldest_run, std::nullopt);
  AddRun(1, 0);
  AddRun(2, 0);
  const char* const kStates[] = {"queued", "queued", "running", "done"};
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(db_->Run("INSERT INTO samples (run, ordinal, sample_id, state, "
                         "submitted_us) VALUES (1, ?1, ?1, ?2, 0)",
                         i, kStates[i])
                    .ok());
  ASSERT_TRUE(db_->Run("INSERT INTO sample_inputs VALUES (1, ?1)",
                       std::string(100'000, 'x'))
                  .ok());
  const auto full = reader_->Overview();
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_EQ(full->runs, 2);
  EXPECT_EQ(full->oldest_run, absl::FromUnixSeconds(1));
  EXPECT_EQ(full->samples_waiting, 2);
  EXPECT_EQ(full->samples_running, 1);
  EXPECT_GE(full->bytes, empty->bytes + 90'000);
  EXPECT_EQ(full->free_bytes, 0);
  EXPECT_EQ(UsedBytes(*db_).value(), full->bytes);
  // What is deleted is free, not gone.
  ASSERT_TRUE(db_->Exec("DELETE FROM sample_inputs").ok());
  const auto freed = reader_->Overview();
  ASSERT_TRUE(freed.ok()) << freed.status();
  EXPECT_EQ(freed->bytes, full->bytes);
  EXPECT_GE(freed->free_bytes, 90'000);
  EXPECT_EQ(UsedBytes(*db_).value(), freed->bytes - freed->free_bytes);
}

// A file of another origin: its columns hold whatever somebody put there.
TEST_F(ReaderTest, ASequenceThatIsNotWholeIsDataLoss) {
  AddEvents();
  for (const char* table :
       {"steps", "step_recalls", "step_gaps", "sample_events"}) {
    const std::string name = table;
    ASSERT_TRUE(db_->Exec("DROP VIEW IF EXISTS recalls;"
                          "DROP VIEW IF EXISTS gaps;"
                          "ALTER TABLE " +
                          name + " RENAME TO kept")
                    .ok());
    std::string columns;
    {
      auto row = db_->Prepare(
          "SELECT group_concat(iif(name = 'sequence', 'sequence - 0.5 AS "
          "sequence', name)) FROM pragma_table_info('kept')");
      ASSERT_TRUE(row.ok() && row->Step().value_or(false));
      columns = row->Text(0);
    }
    ASSERT_TRUE(db_->Exec("CREATE VIEW " + name + " AS SELECT " + columns +
                          " FROM kept")
                    .ok());
    EXPECT_TRUE(absl::IsDataLoss(reader_->ReadAfter("run1", 0, 10).status()))
        << table;
    ASSERT_TRUE(
        db_->Exec("DROP VIEW " + name + "; ALTER TABLE kept RENAME TO " + name)
            .ok());
  }
}

}  // namespace
}  // namespace kvrecall
