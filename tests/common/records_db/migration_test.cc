// A database of version 1 becomes one of the current version: the same schema
// as a fresh one, with its records.

#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/json.h"
#include "common/records_db/event_detail.h"
#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using ::testing::SizeIs;

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

// Without comments, each run of white space one space.
std::string Normalised(std::string_view sql) {
  std::string text =
      std::regex_replace(std::string(sql), std::regex("--[^\n]*"), "");
  text = std::regex_replace(text, std::regex("\\s+"), " ");
  return std::regex_replace(text, std::regex(" ([,)])"), "$1");
}

// SQL by name, of everything that a database has.
std::map<std::string, std::string> SchemaOf(Database& database) {
  std::map<std::string, std::string> schema;
  auto row = database.Prepare("SELECT name, sql FROM sqlite_schema");
  EXPECT_TRUE(row.ok()) << row.status();
  while (row->Step().value())
    schema[std::string(row->Text(0))] = Normalised(row->Text(1));
  return schema;
}

// "name type notnull default key" of each column, in order.
std::vector<std::string> ColumnsOf(Database& database,
                                   const std::string& table) {
  std::vector<std::string> columns;
  auto row = database.Prepare(
      "SELECT name || ' ' || type || ' ' || \"notnull\" || ' ' || "
      "coalesce(dflt_value, '') || ' ' || pk FROM pragma_table_info(?1)");
  EXPECT_TRUE(row.ok()) << row.status();
  EXPECT_TRUE(row->Bind(table).ok());
  while (row->Step().value()) columns.emplace_back(row->Text(0));
  return columns;
}

class MigrationTest : public ::testing::Test {
 protected:
  // A file as version 1 left it, with one run of two samples.
  void SetUp() override {
    path_ = dir_.File("old.db");
    auto database = Database::Open(path_, {});
    ASSERT_TRUE(database.ok()) << database.status();
    const absl::Status made =
        (*database)->Exec(ReadText("tests/common/records_db/schema_v1.sql"));
    ASSERT_TRUE(made.ok()) << made;
    config_.task = "hotpotqa";
    config_.policies = {{"h2o", {}}};
    config_.scopes = {Scope::kGlobal, Scope::kLayer};
    config_.budgets = {{Budget::Kind::kCurrentRatio, 0.2}};
    ASSERT_TRUE(
        (*database)
            ->Run("INSERT INTO runs VALUES (1, 'run1', 'q', '', 'running', "
                  "?1, ?2, 0, 2, 1, 0, 3, 1000000, NULL)",
                  ConfigToJson(config_).dump(),
                  ProvenanceToJson(Provenance()).dump())
            .ok());
    const absl::Status filled = (*database)->Exec(R"sql(
      INSERT INTO samples VALUES (1, 1, 1, 's', 'done', 1, 1, NULL, 0, 0, 0, 5,
        6, 1, 0.25, 1, 'text', 0.5, 'eos', 2.0, 3.0, NULL, NULL);
      INSERT INTO samples (id, run, ordinal, sample_id, state, submitted_us)
        VALUES (2, 1, 2, 't', 'queued', 0);
      INSERT INTO lanes VALUES
        (1, 0, 'h2o', 'global', '0.2', 'current_ratio', 0.2),
        (1, 1, 'h2o', 'layer', '0.2', 'current_ratio', 0.2);
      INSERT INTO sample_events VALUES (1, 1, 'sample_started', 1, 1,
        '{"prompt_tokens": 5, "raw_prompt_tokens": 6, "truncated": true,
          "queue_seconds": 0.25}');
      INSERT INTO steps VALUES (1, 2, 1, 1, 1, 5, 42, 'x', 0.5, -0.25, 0.75,
        0.125, 2.5, 0.0625);
      INSERT INTO step_recalls VALUES
        (1, 2, 0, 1, 0.5, 0.25, NULL, 0.75, 1.0, NULL),
        (1, 2, 1, 1, 0.5, 0.25, 0.5, 0.75, 1.0, x'0000803f00000040');
      INSERT INTO sample_events VALUES (1, 3, 'sample_finished', 1, 1,
        '{"generated_tokens": 1, "text": "text", "score": 0.5,
          "finish_reason": "eos", "prefill_seconds": 2.0,
          "decode_seconds": 3.0}');
    )sql");
    ASSERT_TRUE(filled.ok()) << filled;
  }

  TempDir dir_;
  std::string path_;
  RunConfig config_;
};

TEST_F(MigrationTest, TheSchemaIsThatOfAFreshDatabase) {
  auto migrated = OpenForWriting(path_, {});
  ASSERT_TRUE(migrated.ok()) << migrated.status();
  auto fresh = OpenForWriting(dir_.File("fresh.db"), {});
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_EQ((*migrated)->QueryInt("PRAGMA user_version").value(),
            kSchemaVersion);
  const auto schema = SchemaOf(**fresh);
  EXPECT_EQ(SchemaOf(**migrated), schema);
  for (const auto& [name, sql] : schema)
    EXPECT_EQ(ColumnsOf(**migrated, name), ColumnsOf(**fresh, name)) << name;
  EXPECT_THAT(ColumnsOf(**fresh, "step_recalls"), SizeIs(14));
}

TEST_F(MigrationTest, RecordsAreKeptAndReadBack) {
  ASSERT_TRUE(OpenForWriting(path_, {}).ok());
  auto reader = RecordsReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto run = (*reader)->GetRun("run1");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->config, config_);
  EXPECT_EQ(run->deadline, std::nullopt);

  const auto events = (*reader)->ReadAfter("run1", 0, 10);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_THAT(*events, SizeIs(3));
  const std::optional<double> none;
  StepRecord step{1, 5, 42, "x", 0.5, -0.25, 0.75, 0.125, 2.5, 0.0625, {}, {}};
  step.recalls = {
      {1, 0.5, 0.25, none, 0.75, 1.0, none, none, none, {}, {}},
      {1, 0.5, 0.25, 0.5, 0.75, 1.0, none, none, none, {1.0f, 2.0f}, {}}};
  const SampleResult result{1, "text", 0.5, {}, FinishReason::kEos, 2, 3};
  EXPECT_EQ((*events)[0].body,
            EventBody((SampleStart{5, 6, true, 0.25, 0, ""})));
  EXPECT_EQ((*events)[1].body, EventBody(step));
  EXPECT_EQ((*events)[2].body, EventBody(result));

  const auto samples = (*reader)->ListSamples("run1", 0, 10);
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_THAT(*samples, SizeIs(2));
  EXPECT_EQ((*samples)[0].result, result);
  EXPECT_EQ((*samples)[1].state, SampleState::kQueued);
}

TEST_F(MigrationTest, TheViewsReadWhatWasRecorded) {
  auto database = OpenForWriting(path_, {});
  ASSERT_TRUE(database.ok()) << database.status();
  EXPECT_EQ((*database)->QueryInt("SELECT count(*) FROM recalls").value(), 2);
  EXPECT_EQ((*database)
                ->QueryInt("SELECT count(*) FROM recalls WHERE drift IS NULL "
                           "AND sample = 's' AND recall = 0.5")
                .value(),
            2);
  EXPECT_EQ((*database)->QueryInt("SELECT count(*) FROM gaps").value(), 0);
}

// A reader is no writer: it says who brings the file up to date.
TEST_F(MigrationTest, AReaderRefusesAnOlderVersionAndLeavesIt) {
  const absl::Status status = OpenForReading(path_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("schema version 1; start kvrecall-server"));
  auto database = Database::Open(path_, {});
  EXPECT_EQ((*database)->QueryInt("PRAGMA user_version").value(), 1);
}

// A migration that fails half-way leaves the file as it was.
TEST_F(MigrationTest, AFailedMigrationChangesNothing) {
  {
    auto database = Database::Open(path_, {});
    ASSERT_TRUE((*database)->Exec("CREATE TABLE step_gaps (a INTEGER)").ok());
  }
  EXPECT_FALSE(OpenForWriting(path_, {}).ok());
  auto database = Database::Open(path_, {});
  EXPECT_EQ((*database)->QueryInt("PRAGMA user_version").value(), 1);
  EXPECT_EQ((*database)
                ->QueryInt("SELECT count(*) FROM pragma_table_info("
                           "'step_recalls') WHERE name = 'row_recalls'")
                .value(),
            1);
  EXPECT_EQ((*database)->QueryInt("SELECT count(*) FROM recalls").value(), 2);
}

}  // namespace
}  // namespace kvrecall
