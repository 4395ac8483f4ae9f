#include "client/group_watcher.h"

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/fake_servers.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const WatchPolicy kHasty = {.first_pause = absl::Milliseconds(1),
                            .longest_pause = absl::Milliseconds(2),
                            .patience = absl::Milliseconds(50),
                            .longest_silence = absl::Seconds(20)};

class GroupWatcherTest : public testing::Test {
 protected:
  void Find(const std::string& name) {
    const auto servers = ConnectAll(servers_.choice());
    ASSERT_TRUE(servers.ok()) << servers.status();
    auto runs = FindRuns(*servers, name);
    ASSERT_TRUE(runs.ok()) << runs.status();
    runs_ = *std::move(runs);
  }
  absl::StatusOr<Watcher::End> Watch(GroupWatcher& watcher) {
    return watcher.Watch(
        [&](size_t run, const Event& event) {
          events_[run].push_back(event);
          return absl::OkStatus();
        },
        [&](std::string_view line) { messages_.emplace_back(line); });
  }

  FakeServers servers_;
  std::vector<PlacedRun> runs_;
  std::map<size_t, std::vector<Event>> events_;
  std::vector<std::string> messages_;
};

TEST_F(GroupWatcherTest, GivesAllEventsOfEachInItsOrder) {
  for (const char* name : {"a", "b", "c"}) servers_.Add(MakePart(name, 3, 4));
  Find("run-a,run-b,run-c");
  GroupWatcher watcher(runs_, kHasty);
  const auto end = Watch(watcher);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(*end, Watcher::End::kFinished);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(events_[i], servers_.at(i).script().events);
  EXPECT_THAT(messages_, IsEmpty());
}

TEST_F(GroupWatcherTest, ALostConnectionIsToldWithItsServerAndComesBack) {
  servers_.Add(MakePart("a", 1, 1));
  FakeScript broken = MakePart("b", 1, 1);
  broken.breaks = {2};
  servers_.Add(broken);
  Find("run-a,run-b");
  GroupWatcher watcher(runs_, kHasty);
  const auto end = Watch(watcher);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(events_[1], servers_.at(1).script().events);
  ASSERT_EQ(messages_.size(), 2u);
  EXPECT_THAT(messages_[0], HasSubstr(servers_.at(1).address() + ": lost"));
  EXPECT_EQ(messages_[1], servers_.at(1).address() + ": connected again");
}

TEST_F(GroupWatcherTest, WhereOneIsLostTheOthersAreFollowedToTheirEnds) {
  FakeScript lost = MakePart("a", 1, 1);
  lost.breaks = {1};
  lost.break_code = grpc::StatusCode::INTERNAL;
  servers_.Add(lost);
  servers_.Add(MakePart("b", 5, 20));
  Find("run-a,run-b");
  GroupWatcher watcher(runs_, kHasty);
  const auto end = Watch(watcher);
  EXPECT_TRUE(absl::IsInternal(end.status())) << end.status();
  EXPECT_EQ(events_[1], servers_.at(1).script().events);
  ASSERT_EQ(messages_.size(), 1u);
  EXPECT_THAT(messages_[0], HasSubstr(servers_.at(0).address()));
}

TEST_F(GroupWatcherTest, DetachEndsAll) {
  for (const char* name : {"a", "b"}) {
    FakeScript script = MakePart(name, 1, 1);
    script.never_ends = true;
    script.events.pop_back();
    servers_.Add(script);
  }
  Find("run-a,run-b");
  GroupWatcher watcher(runs_, kHasty);
  std::thread user([&] {
    while (!servers_.at(0).all_sent() || !servers_.at(1).all_sent())
      std::this_thread::yield();
    watcher.Detach();
  });
  const auto end = Watch(watcher);
  user.join();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(*end, Watcher::End::kDetached);
}

}  // namespace
}  // namespace kvrecall
