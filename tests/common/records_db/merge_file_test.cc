// Several database files as one.

#include "common/records_db/merge_file.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "common/records_db/sqlite.h"
#include "tests/common/records_db/study_database.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MergeFileTest : public ::testing::Test {
 protected:
  std::string File(const std::string& name) const { return dir_.File(name); }

  std::string Write(const std::string& name, std::vector<StudyRun> runs) {
    WriteStudy(File(name), std::move(runs));
    return File(name);
  }

  // The one run of the merged file.
  MergedRun Merge(const std::vector<std::string>& sources,
                  const std::string& name) {
    const auto merged = MergeFiles(sources, File(name), {});
    EXPECT_TRUE(merged.ok()) << merged.status();
    EXPECT_EQ(merged.ok() ? merged->size() : 0, 1u);
    return merged.ok() && merged->size() == 1 ? merged->front() : MergedRun();
  }

  absl::Status TryMerge(const std::vector<std::string>& sources,
                        const MergeOptions& options = {}) {
    return MergeFiles(sources, File("all.db"), options).status();
  }

  // Without what SQLite leaves beside a database that was read.
  std::vector<std::string> Files() const {
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      const std::string name = entry.path().filename().string();
      if (!absl::EndsWith(name, "-wal") && !absl::EndsWith(name, "-shm"))
        files.insert(name);
    }
    return {files.begin(), files.end()};
  }

  TempDir dir_;
};

TEST_F(MergeFileTest, PartsGiveWhatOneRunOfAllGives) {
  const std::string whole =
      Write("whole.db", {MakeStudyRun("whole", {1, 2, 3, 4, 5, 6, 7})});
  const std::string a = Write("a.db", {MakeStudyRun("a", {2, 3, 6})});
  const std::string b = Write("b.db", {MakeStudyRun("b", {1, 7}, 900)});
  const std::string c = Write("c.db", {MakeStudyRun("c", {4, 5})});
  const MergedRun merged = Merge({a, b, c}, "all.db");
  EXPECT_EQ(RecordsOf(File("all.db"), merged.info.run_id),
            RecordsOf(whole, "run-whole"));
  EXPECT_EQ(merged.files, 3);
  EXPECT_EQ(merged.repeated, 0);
  EXPECT_EQ(merged.absent, 0);
  auto reader = RecordsReader::Open(File("all.db"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto run = (*reader)->GetRun(merged.info.run_id);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->state, RunState::kSucceeded);
  EXPECT_TRUE(run->complete);
  EXPECT_EQ(run->samples_submitted, 7);
  EXPECT_EQ(run->samples_done, 7);
  EXPECT_EQ(run->owner, "ada");
  EXPECT_EQ(run->create_time, absl::FromUnixSeconds(900));
  EXPECT_EQ(run->end_time, absl::FromUnixSeconds(1060));
  EXPECT_EQ(run->config, MakeStudyRun("a", {}).info.config);
  const auto samples = (*reader)->ListSamples(merged.info.run_id, 0, 100);
  ASSERT_EQ(samples->size(), 7u);
  for (int64_t i = 1; i <= 7; ++i) {
    EXPECT_EQ((*samples)[i - 1].ordinal, i);
    EXPECT_EQ((*samples)[i - 1].sample_id, absl::StrCat("s", i));
    EXPECT_THAT(
        *(*reader)->GetSampleInput(merged.info.run_id, absl::StrCat("s", i)),
        HasSubstr(absl::StrCat("About s", i)));
  }
  EXPECT_THAT(Files(),
              ElementsAre("a.db", "all.db", "b.db", "c.db", "whole.db"));
}

// Whatever the schema has: a column that a merge forgets fails here.
TEST_F(MergeFileTest, EveryColumnIsTakenOver) {
  // What is new in the merged file. The epoch is one of the server's.
  const std::set<std::string> renewed = {"runs.request_id", "runs.body_digest",
                                         "runs.may_reuse",  "runs.deadline_us",
                                         "samples.epoch",   "epochs.epoch",
                                         "epochs.opened_us"};
  StudyRun run = MakeStudyRun("a", {1, 2, 3});
  run.samples[1].is_reused = true;
  run.samples[2].state = SampleState::kFailed;
  run.info.state = RunState::kPartiallyFailed;
  Merge({Write("a.db", {run})}, "all.db");
  auto before = Database::Open(File("a.db"), {.read_only = true});
  auto after = Database::Open(File("all.db"), {.read_only = true});
  ASSERT_TRUE(before.ok() && after.ok());
  const auto column = [](Database& database, const std::string& table,
                         const std::string& name) {
    std::vector<std::string> values;
    auto row = database.Prepare(absl::StrCat("SELECT quote(", name, ") FROM ",
                                             table, " ORDER BY ",
                                             table == "runs" ? "id" : "1"));
    EXPECT_TRUE(row.ok()) << row.status();
    while (row->Step().value()) values.emplace_back(row->Text(0));
    return values;
  };
  auto names = (*before)->Prepare(
      "SELECT m.name, c.name FROM sqlite_schema AS m, "
      "pragma_table_info(m.name) AS c WHERE m.type = 'table' "
      "AND m.name NOT LIKE 'sqlite_%'");
  ASSERT_TRUE(names.ok()) << names.status();
  int columns = 0;
  while (names->Step().value()) {
    const std::string table(names->Text(0)), name(names->Text(1));
    ++columns;
    const auto old = column(**before, table, name);
    if (table != "runs") {
      EXPECT_FALSE(absl::StrJoin(old, "").find_first_not_of("NUL") ==
                   std::string::npos)
          << table << "." << name << " is NULL everywhere";
    }
    if (renewed.count(table + "." + name)) continue;
    EXPECT_EQ(column(**after, table, name), old) << table << "." << name;
  }
  EXPECT_GT(columns, 80);
}

TEST_F(MergeFileTest, MergingAgainChangesNothing) {
  const std::string a = Write("a.db", {MakeStudyRun("a", {1, 4})});
  const std::string b = Write("b.db", {MakeStudyRun("b", {2, 3})});
  const MergedRun once = Merge({a, b}, "once.db");
  const MergedRun again = Merge({File("once.db"), b}, "again.db");
  EXPECT_EQ(again.info.run_id, once.info.run_id);
  EXPECT_EQ(again.repeated, 2);
  EXPECT_EQ(RecordsOf(File("again.db"), again.info.run_id),
            RecordsOf(File("once.db"), once.info.run_id));
  const MergedRun turned = Merge({b, a, File("again.db")}, "turned.db");
  EXPECT_EQ(turned.info.run_id, once.info.run_id);
  EXPECT_EQ(RecordsOf(File("turned.db"), turned.info.run_id),
            RecordsOf(File("once.db"), once.info.run_id));
}

TEST_F(MergeFileTest, OnlyTheAttemptThatCountsIsTaken) {
  const std::string whole = Write("whole.db", {MakeStudyRun("whole", {1, 2})});
  StudyRun run = MakeStudyRun("a", {1, 2});
  run.samples[0].attempts = 3;
  const MergedRun merged = Merge({Write("a.db", {run})}, "all.db");
  EXPECT_EQ(RecordsOf(File("all.db"), "run-a"), RecordsOf(whole, "run-whole"));
  EXPECT_EQ(merged.info.last_sequence, 2 * 5 + 1);  // and not what was left
}

TEST_F(MergeFileTest, WhatHasNotEndedIsCancelledAndFilledInLater) {
  StudyRun part = MakeStudyRun("a", {1, 2, 3});
  part.info.state = RunState::kRunning;
  part.info.end_time.reset();
  part.samples[1].state = SampleState::kRunning;  // one step is there
  part.samples[2].state = SampleState::kQueued;
  const std::string a = Write("a.db", {part});
  const MergedRun merged = Merge({a}, "part.db");
  EXPECT_EQ(merged.info.state, RunState::kCancelled);
  EXPECT_EQ(merged.info.samples_done, 1);
  EXPECT_EQ(merged.info.samples_submitted, 3);
  auto reader = RecordsReader::Open(File("part.db"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto samples = (*reader)->ListSamples("run-a", 0, 10);
  ASSERT_EQ(samples->size(), 3u);
  for (const int i : {1, 2}) {
    EXPECT_EQ((*samples)[i].state, SampleState::kCancelled);
    EXPECT_EQ((*samples)[i].attempt, 0);
    EXPECT_FALSE((*samples)[i].start.has_value());
  }
  EXPECT_EQ((*reader)->Overview()->samples_waiting, 0);
  const std::string b = Write("b.db", {MakeStudyRun("b", {2, 3})});
  const MergedRun whole = Merge({File("part.db"), b}, "whole.db");
  EXPECT_EQ(whole.info.state, RunState::kSucceeded);
  EXPECT_EQ(whole.info.samples_done, 3);
}

TEST_F(MergeFileTest, SeveralTasksStaySeveralRuns) {
  const auto other = [](StudyRun run) {
    run.info.config.task = "hotpotqa";
    return run;
  };
  const std::string a =
      Write("a.db", {MakeStudyRun("a", {1}), other(MakeStudyRun("b", {1, 2}))});
  const std::string b = Write("b.db", {other(MakeStudyRun("c", {3}, 500))});
  const auto merged = MergeFiles({a, b}, File("all.db"), {});
  ASSERT_TRUE(merged.ok()) << merged.status();
  ASSERT_EQ(merged->size(), 2u);
  EXPECT_EQ((*merged)[0].info.config.task, "hotpotqa");
  EXPECT_EQ((*merged)[0].info.samples_done, 3);
  EXPECT_EQ((*merged)[1].info.run_id, "run-a");  // joined with no other
  EXPECT_EQ((*merged)[1].files, 1);
  EXPECT_EQ(RecordsOf(File("all.db"), "run-a"), RecordsOf(a, "run-a"));
}

TEST_F(MergeFileTest, RunsThatAreNamedAreTakenAlone) {
  StudyRun other = MakeStudyRun("other", {1});
  other.info.config.budgets[0].value = 0.5;
  const std::string a = Write("a.db", {MakeStudyRun("a", {1, 2}), other});
  const std::string b = Write("b.db", {MakeStudyRun("b", {3})});
  const absl::Status mixed = TryMerge({a, b});
  EXPECT_TRUE(absl::IsInvalidArgument(mixed)) << mixed;
  EXPECT_THAT(std::string(mixed.message()),
              HasSubstr("differ in budgets ([\"0.2\"] and [\"0.5\"])"));
  EXPECT_THAT(Files(), ElementsAre("a.db", "b.db"));
  MergeOptions options;
  options.run_ids = {"run-a", "run-b"};
  EXPECT_TRUE(TryMerge({a, b}, options).ok());
  options.run_ids = {"run-a", "run-c"};
  options.overwrite = true;
  const absl::Status unknown = TryMerge({a, b}, options);
  EXPECT_TRUE(absl::IsNotFound(unknown)) << unknown;
  EXPECT_EQ(unknown.message(), "run 'run-c' is in none of the files");
}

TEST_F(MergeFileTest, PlacesThatNoFileHasAreCounted) {
  EXPECT_EQ(Merge({Write("a.db", {MakeStudyRun("a", {2, 5})})}, "x.db").absent,
            3);
}

TEST_F(MergeFileTest, NothingIsOverwrittenUnlessItIsAskedFor) {
  const std::string a = Write("a.db", {MakeStudyRun("a", {1})});
  const std::string b = Write("b.db", {MakeStudyRun("b", {1, 2})});
  ASSERT_TRUE(TryMerge({a}).ok());
  const absl::Status there = TryMerge({b});
  EXPECT_TRUE(absl::IsAlreadyExists(there)) << there;
  MergeOptions options;
  options.overwrite = true;
  std::ofstream(File("all.db.part")) << "left by one who was killed";
  ASSERT_TRUE(TryMerge({b}, options).ok());
  EXPECT_EQ(RecordsOf(File("all.db"), "run-b").size(), 10u);
  EXPECT_THAT(Files(), ElementsAre("a.db", "all.db", "b.db"));
}

TEST_F(MergeFileTest, TheResultIsNoneOfTheSourcesAndNotInUse) {
  const std::string a = Write("all.db", {MakeStudyRun("a", {1})});
  MergeOptions options;
  options.overwrite = true;
  absl::Status status = TryMerge({File("./all.db")}, options);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("one of the files"));
  const std::string b = Write("b.db", {MakeStudyRun("b", {1})});
  std::ofstream(File("all.db-wal")) << "a log";
  status = TryMerge({b}, options);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("all.db-wal is there"));
  std::ofstream(File("all.db-wal"), std::ios::trunc);  // who reads leaves it
  EXPECT_TRUE(TryMerge({b}, options).ok());
}

TEST_F(MergeFileTest, WhatIsNoDatabaseIsRefusedByName) {
  const std::string a = Write("a.db", {MakeStudyRun("a", {1})});
  EXPECT_TRUE(absl::IsNotFound(TryMerge({a, File("none.db")})));
  std::ofstream(File("text.db")) << std::string(10'000, 'x');
  const absl::Status text = TryMerge({a, File("text.db")});
  EXPECT_THAT(std::string(text.message()), HasSubstr("text.db"));
  const std::string empty = Write("empty.db", {});
  const absl::Status nothing = TryMerge({empty});
  EXPECT_TRUE(absl::IsInvalidArgument(nothing)) << nothing;
  EXPECT_TRUE(TryMerge({empty, a}).ok());  // a shard without samples
}

TEST_F(MergeFileTest, RecordsThatAreNotWholeAreRefusedByName) {
  const std::string a = Write("a.db", {MakeStudyRun("a", {1, 2})});
  const auto break_it = [&](const char* sql) {
    auto database = OpenForWriting(a, {});
    ASSERT_TRUE(database.ok() && (*database)->Exec(sql).ok());
  };
  break_it("UPDATE samples SET state = 'cancelled' WHERE id = 2");
  EXPECT_THAT(std::string(TryMerge({a}).message()),
              HasSubstr("a.db: run run-a: has 2 samples, 1 done and 0 failed, "
                        "and says 2, 2 and 0"));
  break_it(
      "UPDATE samples SET state = 'done' WHERE id = 2;"
      "UPDATE samples SET recorded_attempt = 2 WHERE id = 2");
  EXPECT_THAT(std::string(TryMerge({a}).message()),
              HasSubstr("run-a: the records of sample 's2' are not whole"));
  EXPECT_THAT(Files(), ElementsAre("a.db"));
}

TEST_F(MergeFileTest, AMergeThatIsStoppedLeavesNothing) {
  const std::string a = Write("a.db", {MakeStudyRun("a", {1, 2})});
  MergeOptions options;
  for (int after = 0; after < 2; ++after) {
    int asked = 0;
    options.stop = [&] { return asked++ >= after; };
    const absl::Status stopped = TryMerge({a}, options);
    EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
    EXPECT_THAT(Files(), ElementsAre("a.db"));
  }
}

TEST_F(MergeFileTest, TheUserIsToldWhatIsReadAndWritten) {
  const std::string a = Write("a.db", {MakeStudyRun("a", {1})});
  std::vector<std::string> lines;
  MergeOptions options;
  options.on_message = [&](std::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(TryMerge({a}, options).ok());
  EXPECT_THAT(lines, ElementsAre("reads " + a, "writes " + File("all.db")));
}

}  // namespace
}  // namespace kvrecall
