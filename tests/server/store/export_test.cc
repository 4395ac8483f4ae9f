// A run as a file of its own, out of the store that goes on writing it.

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/records_db/reader.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::SizeIs;

class ExportTest : public StoreTest {
 protected:
  // What the store hands out, as a client would write it down.
  std::string Export(const std::string& run) {
    const auto stream = store_->ExportRun(run, {});
    EXPECT_TRUE(stream.ok()) << stream.status();
    const std::string path = dir_.File(std::to_string(exports_++) + ".out");
    if (stream.ok())
      std::ofstream(path, std::ios::binary) << (*stream)->rdbuf();
    return path;
  }

  static std::vector<Event> EventsIn(const std::string& path,
                                     const std::string& run) {
    const auto reader = RecordsReader::Open(path);
    EXPECT_TRUE(reader.ok()) << reader.status();
    if (!reader.ok()) return {};
    const auto events = (*reader)->ReadAfter(run, 0, 1'000'000);
    EXPECT_TRUE(events.ok()) << events.status();
    return events.value_or(std::vector<Event>());
  }

  // Names of the files beside the database that belong to it.
  std::set<std::string> FilesOfTheDatabase() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("runs.db")) names.insert(name);
    }
    return names;
  }

  int exports_ = 0;
};

TEST_F(ExportTest, ARunsEventsReadBackEqualFromItsFile) {
  const std::string other = Create("other");
  ASSERT_TRUE(Submit(other, {TestSample("z")}).ok());
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
  Append(Lease(), {make_.Start(), make_.Step(1)});  // of the other run
  for (int sample = 0; sample < 2; ++sample) {
    const LeasedSample leased = Lease();
    Append(leased, {make_.Start()});
    for (int step = 1; step <= 30; ++step) Append(leased, {make_.Step(step)});
    Append(leased, {make_.Result()});
  }
  Flush();
  const std::string file = Export(run);
  const std::vector<Event> events = EventsIn(file, run);
  EXPECT_THAT(events, SizeIs(2 * 32 + 1));
  EXPECT_EQ(events, Events(run));
  const auto reader = RecordsReader::Open(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->GetRun(run)->config, TestConfig());
  EXPECT_THAT((*reader)->ListRuns(10, "")->first, SizeIs(1));
  const auto input = (*reader)->GetSampleInput(run, "a");
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_EQ(ParseSample(*input)->context, TestSample("a").context);
}

// Each export is one committed state: a beginning of what there is in the end.
TEST_F(ExportTest, TheStoreGoesOnWritingMeanwhile) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  Append(leased, {make_.Start()});
  Flush();
  std::atomic<bool> stop = false;
  std::thread engine([&] {
    for (int step = 1; !stop; ++step) Append(leased, {make_.Step(step)});
  });
  std::vector<std::vector<Event>> states;
  for (int i = 0; i < 5; ++i) states.push_back(EventsIn(Export(run), run));
  stop = true;
  engine.join();
  Flush();
  const std::vector<Event> whole = Events(run);
  size_t last = 1;
  for (const std::vector<Event>& state : states) {
    ASSERT_GE(state.size(), last);
    ASSERT_LE(state.size(), whole.size());
    EXPECT_TRUE(std::equal(state.begin(), state.end(), whole.begin()));
    last = state.size();
  }
}

TEST_F(ExportTest, NoFileIsLeftBesideTheDatabase) {
  const std::string run = Create();
  const std::set<std::string> before = FilesOfTheDatabase();
  {
    const auto first = store_->ExportRun(run, {});
    const auto second = store_->ExportRun(run, {});
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_TRUE(second.ok()) << second.status();
    // Not even while they are read.
    EXPECT_EQ(FilesOfTheDatabase(), before);
    char byte = 0;
    EXPECT_TRUE((*first)->get(byte));
    EXPECT_EQ(byte, 'S');  // SQLite format 3
  }
  EXPECT_EQ(FilesOfTheDatabase(), before);
}

// A client that has gone, or a server that stops, waits for no large run.
TEST_F(ExportTest, StoppedItLeavesNothing) {
  const std::string run = Create();
  const std::set<std::string> before = FilesOfTheDatabase();
  int asked = 0;
  const absl::Status status =
      store_->ExportRun(run, [&] { return ++asked > 0; }).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_GT(asked, 0);
  EXPECT_EQ(FilesOfTheDatabase(), before);
}

TEST_F(ExportTest, ARunThatIsNotThereIsNotFoundAndLeavesNothing) {
  Create();
  const std::set<std::string> before = FilesOfTheDatabase();
  const absl::Status status = store_->ExportRun("nope", {}).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(FilesOfTheDatabase(), before);
}

TEST_F(ExportTest, WhatAKilledServerLeftIsRemovedWhenTheStoreOpens) {
  const std::string run = Create();
  store_.reset();
  const std::vector<std::string> leftovers = {"runs.db.export-0",
                                              "runs.db.export-12"};
  for (const std::string& name : leftovers)
    std::ofstream(dir_.File(name)) << "half";
  // Files of the user's that only look alike.
  const std::vector<std::string> others = {
      "runs.db.export", "runs.db.export-mine.jsonl", "other.db.export-0",
      "runs.db.export-"};
  for (const std::string& name : others)
    std::ofstream(dir_.File(name)) << "mine";
  Open();
  for (const std::string& name : leftovers)
    EXPECT_FALSE(std::filesystem::exists(dir_.File(name))) << name;
  for (const std::string& name : others)
    EXPECT_TRUE(std::filesystem::exists(dir_.File(name))) << name;
  EXPECT_TRUE(store_->ExportRun(run, {}).ok());
}

// A second server that is turned away leaves the first one's files alone.
TEST_F(ExportTest, AStoreThatDoesNotOpenRemovesNothing) {
  const std::string leftover = dir_.File("runs.db.export-7");
  std::ofstream(leftover) << "of the server that runs";
  EXPECT_TRUE(
      absl::IsFailedPrecondition(OpenSqliteStore(path_, options_).status()));
  EXPECT_TRUE(std::filesystem::exists(leftover));
}

TEST_F(ExportTest, ADatabaseInTheWorkingFolderHasItsLeftoversRemovedToo) {
  store_.reset();
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(dir_.path());
  std::ofstream("here.db.export-3") << "half";
  {
    auto store = OpenSqliteStore("here.db", options_);
    EXPECT_TRUE(store.ok()) << store.status();
  }
  EXPECT_FALSE(std::filesystem::exists("here.db.export-3"));
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace kvrecall
