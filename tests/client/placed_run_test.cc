#include "client/placed_run.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/run_source.h"
#include "tests/client/fake_servers.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PlacedRunTest : public testing::Test {
 protected:
  absl::StatusOr<std::vector<PlacedRun>> Find(const std::string& name) {
    auto servers = ConnectAll(servers_.choice());
    EXPECT_TRUE(servers.ok()) << servers.status();
    return FindRuns(*servers, name);
  }
  absl::StatusOr<RunInfo> Join(const std::string& name) {
    auto runs = Find(name);
    EXPECT_TRUE(runs.ok()) << runs.status();
    return JoinRuns(*runs);
  }

  FakeServers servers_;
};

TEST_F(PlacedRunTest, EachRunIsFoundWhereItIs) {
  servers_.Add(MakePart("a", 1, 1));
  servers_.Add(MakePart("b", 1, 1));
  const auto runs = Find("run-b, run-a");
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ((*runs)[0].connection->address(), servers_.at(1).address());
  EXPECT_EQ((*runs)[0].info.run_id, "run-b");
  EXPECT_EQ((*runs)[1].connection->address(), servers_.at(0).address());
  const absl::Status nowhere = Find("run-a,run-c").status();
  EXPECT_TRUE(absl::IsNotFound(nowhere)) << nowhere;
  EXPECT_EQ(nowhere.message(), "run 'run-c' is on none of the servers");
  for (const char* name : {"", "run-a,", "run-a,run-a"})
    EXPECT_TRUE(absl::IsInvalidArgument(Find(name).status())) << name;
}

TEST_F(PlacedRunTest, AServerThatIsAwayMightHaveIt) {
  servers_.Add(MakePart("a", 1, 1));
  ServerChoice choice = servers_.choice();
  choice.address += ",127.0.0.1:1";
  const auto servers = ConnectAll(choice);
  ASSERT_TRUE(servers.ok()) << servers.status();
  EXPECT_TRUE(FindRuns(*servers, "run-a").ok());
  const absl::Status away = FindRuns(*servers, "run-b").status();
  EXPECT_TRUE(absl::IsUnavailable(away)) << away;
  EXPECT_THAT(std::string(away.message()), HasSubstr("127.0.0.1:1"));
}

TEST_F(PlacedRunTest, CountsAreAddedAndTheLastEndsIt) {
  servers_.Add(MakePart("a", 2, 3));
  FakeScript later = MakePart("b", 1, 3);
  later.run.create_time += absl::Seconds(1);
  later.run.end_time = *later.run.end_time + absl::Seconds(7);
  const absl::Time end = *later.run.end_time;
  servers_.Add(later);
  const auto joined = Join("run-a,run-b");
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->run_id, "run-a,run-b");
  EXPECT_EQ(joined->state, RunState::kSucceeded);
  EXPECT_EQ(joined->samples_submitted, 3);
  EXPECT_EQ(joined->samples_done, 3);
  EXPECT_EQ(joined->create_time, servers_.at(0).script().run.create_time);
  EXPECT_EQ(joined->end_time, end);
  EXPECT_EQ(joined->last_sequence, 3 * (3 + 2) + 1);
}

TEST_F(PlacedRunTest, TheStateIsThatOfTheWhole) {
  using State = RunState;
  const auto state = [](State a, State b, int64_t done) {
    std::vector<PlacedRun> runs(2);
    runs[0].info.state = a;
    runs[1].info.state = b;
    runs[0].info.samples_done = done;
    return JoinRuns(runs)->state;
  };
  EXPECT_EQ(state(State::kSucceeded, State::kSucceeded, 1), State::kSucceeded);
  EXPECT_EQ(state(State::kSucceeded, State::kRunning, 1), State::kRunning);
  EXPECT_EQ(state(State::kSucceeded, State::kQueued, 1), State::kRunning);
  EXPECT_EQ(state(State::kQueued, State::kQueued, 0), State::kQueued);
  EXPECT_EQ(state(State::kFailed, State::kCancelled, 0), State::kCancelled);
  EXPECT_EQ(state(State::kSucceeded, State::kFailed, 1),
            State::kPartiallyFailed);
  EXPECT_EQ(state(State::kFailed, State::kFailed, 0), State::kFailed);
}

TEST_F(PlacedRunTest, RunsMadeDifferentlyAreNotOne) {
  servers_.Add(MakePart("a", 1, 1));
  FakeScript other = MakePart("b", 1, 1);
  other.run.provenance.threads = 77;
  servers_.Add(other);
  const absl::Status status = Join("run-a,run-b").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("they differ in threads ("));
}

TEST_F(PlacedRunTest, TheirRecordsComeOneBehindTheOtherWithOneEnd) {
  servers_.Add(MakePart("a", 2, 2));
  servers_.Add(MakePart("b", 1, 2));
  const auto source = OpenRunSource(servers_.choice(), "");
  ASSERT_TRUE(source.ok()) << source.status();
  const auto run = (*source)->GetRun("run-b,run-a");
  ASSERT_TRUE(run.ok()) << run.status();
  std::vector<Event> events;
  const absl::Status read = (*source)->ReadRecords(
      "run-b,run-a", run->last_sequence, {}, [&](const Event& event) {
        events.push_back(event);
        return absl::OkStatus();
      });
  ASSERT_TRUE(read.ok()) << read;
  ASSERT_EQ(std::ssize(events), run->last_sequence);
  for (size_t i = 0; i < events.size(); ++i)
    EXPECT_EQ(events[i].sequence, static_cast<int64_t>(i) + 1);
  EXPECT_EQ(events[0].sample_id, "b1");
  EXPECT_EQ(events[4].sample_id, "a1");
  EXPECT_EQ(events[8].sample_id, "a2");
  EXPECT_EQ(events[0].body, servers_.at(1).script().events[0].body);
  const auto* end = std::get_if<RunEnd>(&events.back().body);
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->samples_done, 3);
}

TEST_F(PlacedRunTest, AStudyThatGoesOnHasNoEnd) {
  servers_.Add(MakePart("a", 1, 1));
  FakeScript open = MakePart("b", 1, 1);
  open.events.pop_back();
  open.run.last_sequence -= 1;
  open.run.state = RunState::kRunning;
  open.run.end_time.reset();
  servers_.Add(open);
  const auto source = OpenRunSource(servers_.choice(), "");
  ASSERT_TRUE(source.ok()) << source.status();
  const auto run = (*source)->GetRun("run-a,run-b");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->state, RunState::kRunning);
  int64_t events = 0;
  const absl::Status read = (*source)->ReadRecords(
      "run-a,run-b", run->last_sequence, {}, [&](const Event& event) {
        EXPECT_FALSE(std::holds_alternative<RunEnd>(event.body));
        ++events;
        return absl::OkStatus();
      });
  ASSERT_TRUE(read.ok()) << read;
  EXPECT_EQ(events, 6);
  EXPECT_EQ(run->last_sequence, 6);
}

TEST_F(PlacedRunTest, ASampleThatTwoHaveIsToldByName) {
  servers_.Add(MakePart("a", 1, 1));
  FakeScript same = MakePart("a", 1, 1);
  same.run.run_id = "run-b";
  servers_.Add(same);
  const auto source = OpenRunSource(servers_.choice(), "");
  ASSERT_TRUE(source.ok()) << source.status();
  const absl::Status read = (*source)->ReadRecords(
      "run-a,run-b", 100, {}, [](const Event&) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsInvalidArgument(read)) << read;
  EXPECT_THAT(std::string(read.message()),
              HasSubstr("sample 'a1' is in two of the runs"));
}

TEST_F(PlacedRunTest, TheRunsOfAllAreListedNewestFirst) {
  servers_.Add(MakePart("a", 1, 1));
  FakeScript newer = MakePart("b", 1, 1);
  newer.run.create_time += absl::Seconds(1);
  servers_.Add(newer);
  const auto source = OpenRunSource(servers_.choice(), "");
  ASSERT_TRUE(source.ok()) << source.status();
  const auto runs = (*source)->ListRuns(3);
  ASSERT_TRUE(runs.ok()) << runs.status();
  std::vector<std::string> names;
  for (const RunInfo& run : *runs) names.push_back(run.run_id);
  EXPECT_THAT(names, ElementsAre("run-b", "run-b", "run-a"));
}

}  // namespace
}  // namespace kvrecall
