// One run out of a database that has several, as a database of its own.

#include "common/records_db/export_file.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/json.h"
#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kTables[] = {
    "runs",  "samples",      "sample_inputs", "epochs",        "lanes",
    "steps", "step_recalls", "step_gaps",     "sample_events", "gap_lanes"};

class ExportFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    source_ = dir_.File("all.db");
    auto database = OpenForWriting(source_, {});
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    for (int64_t run = 1; run <= 3; ++run) AddRun(run);
  }

  // With one sample, one step, and an epoch of its own.
  void AddRun(int64_t run) {
    RunConfig config;
    config.task = "hotpotqa";
    config.policies = {{"h2o", {}}};
    config.scopes = {Scope::kGlobal};
    config.budgets = {{Budget::Kind::kCurrentRatio, 0.2}};
    config.gaps = *ParseGapSpecs("without_gold(0.2)");
    ASSERT_TRUE(
        database_
            ->Run("INSERT INTO runs VALUES (?1, ?2, ?2, '', 'running', "
                  "?3, ?4, 0, 1, 0, 0, 2, 1000000, NULL, '', 0, 3000000)",
                  run, "run" + std::to_string(run), ConfigToJson(config).dump(),
                  ProvenanceToJson(Provenance()).dump())
            .ok());
    const auto add = [&](const char* sql) {
      const absl::Status added = database_->Run(sql, run);
      EXPECT_TRUE(added.ok()) << added;
    };
    add("INSERT INTO epochs VALUES (?1, 5)");
    add("INSERT INTO samples (id, run, ordinal, sample_id, state, attempt, "
        "recorded_attempt, epoch, submitted_us) "
        "VALUES (10 + ?1, ?1, 1, 's', 'running', 1, 1, ?1, 0)");
    add("INSERT INTO sample_inputs VALUES (10 + ?1, '{\"input\": \"of ' || ?1 "
        "|| '\"}')");
    add("INSERT INTO lanes VALUES (?1, 0, 'h2o', 'global', '0.2', "
        "'current_ratio', 0.2)");
    add("INSERT INTO gap_lanes VALUES (?1, 0, 'without_gold(0.2)', "
        "'without_gold', NULL, 'global', '0.2', 'current_ratio', 0.2)");
    add("INSERT INTO sample_events VALUES (?1, 1, 'sample_started', 10 + ?1, "
        "1, '{\"prompt_tokens\": 5, \"raw_prompt_tokens\": 6, \"truncated\": "
        "true, \"queue_seconds\": 0.25}')");
    add("INSERT INTO steps VALUES (?1, 2, 10 + ?1, 1, 1, 5, 42, 'x', ?1 / 8.0, "
        "-0.25, 0.75, 0.125, 2.5, 0.0625)");
    add("INSERT INTO step_recalls VALUES (?1, 2, 0, 1, 0.5, 0.25, NULL, 0.75, "
        "1.0, NULL, NULL, NULL, NULL, '[[3,0.5,\" a\"]]')");
    add("INSERT INTO step_gaps VALUES (?1, 2, 0, 0.5, -0.25, 0.125, 42, 1)");
  }

  TempDir dir_;
  std::string source_;
  std::unique_ptr<Database> database_;
};

TEST_F(ExportFileTest, TheRunReadsAsInTheDatabaseItIsFrom) {
  const std::string file = dir_.File("one.db");
  // The server's connection is open meanwhile.
  const absl::Status written = WriteRunFile(source_, "run2", file);
  ASSERT_TRUE(written.ok()) << written;
  auto all = RecordsReader::Open(source_), one = RecordsReader::Open(file);
  ASSERT_TRUE(all.ok() && one.ok()) << one.status();
  const auto events = (*one)->ReadAfter("run2", 0, 10);
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_EQ(*events, *(*all)->ReadAfter("run2", 0, 10));
  EXPECT_EQ(events->size(), 2u);
  EXPECT_EQ((*one)->GetRun("run2")->config, (*all)->GetRun("run2")->config);
  EXPECT_EQ(*(*one)->GetSampleInput("run2", "s"), "{\"input\": \"of 2\"}");
  EXPECT_TRUE(absl::IsNotFound((*one)->GetSampleInput("run2", "t").status()));
  const auto runs = (*one)->ListRuns(10, "");
  ASSERT_TRUE(runs.ok());
  EXPECT_EQ(runs->first.size(), 1u);
}

// Whatever the schema has: a table that the export forgets fails here.
TEST_F(ExportFileTest, EveryTableHasTheRunsRowsAndNoOthers) {
  const std::string file = dir_.File("one.db");
  ASSERT_TRUE(WriteRunFile(source_, "run1", file).ok());
  auto one = Database::Open(file, {.read_only = true});
  ASSERT_TRUE(one.ok()) << one.status();
  auto table = (*one)->Prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' "
      "AND name NOT LIKE 'sqlite_%'");
  std::vector<std::string> tables;
  while (table->Step().value()) tables.emplace_back(table->Text(0));
  EXPECT_THAT(tables, ::testing::UnorderedElementsAreArray(kTables));
  for (const std::string& name : tables) {
    EXPECT_EQ((*one)->QueryInt("SELECT count(*) FROM " + name).value(), 1)
        << name;
    EXPECT_EQ(database_->QueryInt("SELECT count(*) FROM " + name).value(), 3)
        << name;
  }
  EXPECT_EQ((*one)->QueryInt("PRAGMA foreign_key_check").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ExportFileTest, ItIsOneFileAndReadsInAFolderThatCannotBeWritten) {
  const std::string folder = dir_.File("out");
  std::filesystem::create_directory(folder);
  ASSERT_TRUE(WriteRunFile(source_, "run3", folder + "/it's 100%.db").ok());
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path().filename().string());
  EXPECT_THAT(files, ElementsAre("it's 100%.db"));
  EXPECT_TRUE(RecordsReader::Open(folder + "/it's 100%.db").ok());
}

TEST_F(ExportFileTest, ItCanBecomeAServersDatabase) {
  const std::string file = dir_.File("one.db");
  ASSERT_TRUE(WriteRunFile(source_, "run1", file).ok());
  EXPECT_TRUE(OpenForWriting(file, {}).ok());
}

TEST_F(ExportFileTest, WhatIsNotThereIsToldAndLeavesNoFile) {
  const std::string file = dir_.File("one.db");
  EXPECT_TRUE(absl::IsNotFound(WriteRunFile(source_, "run9", file)));
  EXPECT_TRUE(absl::IsNotFound(WriteRunFile(dir_.File("no.db"), "run1", file)));
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_TRUE(
      absl::IsNotFound(WriteRunFile(source_, "run1", dir_.File("no/x.db"))));
}

TEST_F(ExportFileTest, AFileThatIsThereIsLeft) {
  const std::string file = dir_.File("one.db");
  ASSERT_TRUE(WriteRunFile(source_, "run1", file).ok());
  const absl::Status again = WriteRunFile(source_, "run2", file);
  EXPECT_TRUE(absl::IsAlreadyExists(again)) << again;
  EXPECT_THAT(std::string(again.message()), HasSubstr(file));
  EXPECT_TRUE((*RecordsReader::Open(file))->GetRun("run1").ok());
}

}  // namespace
}  // namespace kvrecall
