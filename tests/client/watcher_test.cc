#include "client/watcher.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const WatchPolicy kImpatient = {.first_pause = absl::Milliseconds(1),
                                .longest_pause = absl::Milliseconds(2),
                                .patience = absl::Milliseconds(50),
                                .longest_silence = absl::Seconds(20)};

struct Watched {
  absl::StatusOr<Watcher::End> end = Watcher::End::kDetached;
  std::vector<Event> events;
  std::vector<std::string> messages;
};

Watched Watch(Watcher& watcher, int64_t after = 0) {
  Watched watched;
  watched.end = watcher.Watch(
      "run-1", after,
      [&](const Event& event) {
        watched.events.push_back(event);
        return absl::OkStatus();
      },
      [&](std::string_view line) { watched.messages.emplace_back(line); });
  return watched;
}

TEST(WatcherTest, GivesEveryEventInOrderAsItWasRecorded) {
  const FakeServer server(MakeScript(3, 4));
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  const Watched watched = Watch(watcher);
  ASSERT_TRUE(watched.end.ok()) << watched.end.status();
  EXPECT_EQ(*watched.end, Watcher::End::kFinished);
  EXPECT_EQ(watched.events, server.script().events);
  EXPECT_THAT(watched.messages, IsEmpty());
}

TEST(WatcherTest, SaysOnceHowManyComeBefore) {
  FakeScript script = MakeScript(1, 1);
  script.samples_ahead = 12;
  script.breaks = {0, 0};
  const FakeServer server(script);
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  const Watched watched = Watch(watcher);
  ASSERT_TRUE(watched.end.ok()) << watched.end.status();
  EXPECT_EQ(std::count(watched.messages.begin(), watched.messages.end(),
                       "in the queue, behind 12 samples"),
            1);
}

TEST(WatcherTest, ABrokenStreamIsResumedWithoutLossOrRepetition) {
  FakeScript script = MakeScript(3, 4);
  script.breaks = {5, 0, 0, 3, 1};
  const FakeServer server(script);
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  const Watched watched = Watch(watcher);
  ASSERT_TRUE(watched.end.ok()) << watched.end.status();
  EXPECT_EQ(watched.events, script.events);
  EXPECT_THAT(server.script().watched_after, ElementsAre(0, 5, 5, 5, 8, 9));
  EXPECT_THAT(watched.messages,
              ElementsAre(HasSubstr("lost the connection"), "connected again",
                          HasSubstr("lost the connection"), "connected again",
                          HasSubstr("lost the connection"), "connected again"));
}

TEST(WatcherTest, StartsAfterTheGivenSequence) {
  const FakeServer server(MakeScript(2, 3));
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  const Watched watched = Watch(watcher, /*after=*/4);
  ASSERT_TRUE(watched.end.ok());
  EXPECT_EQ(watched.events.front().sequence, 5);
}

TEST(WatcherTest, AStreamThatSkipsASequenceIsAnError) {
  FakeScript script = MakeScript(2, 3);
  script.events.erase(script.events.begin() + 3);
  const FakeServer server(script);
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  const Watched watched = Watch(watcher);
  EXPECT_EQ(watched.end.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(watched.events.size(), 3u);
}

TEST(WatcherTest, AStreamThatEndsBeforeTheRunIsResumedUntilPatienceEnds) {
  FakeScript script = MakeScript(2, 3);
  script.events.pop_back();  // the run's end never comes
  const FakeServer server(script);
  const Connection connection(server.address());
  WatchPolicy policy = kImpatient;
  policy.patience = absl::ZeroDuration();
  Watcher watcher(connection, policy);
  const Watched watched = Watch(watcher);
  EXPECT_EQ(watched.end.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(watched.events, script.events);
}

TEST(WatcherTest, AServerThatIsGoneEndsAfterPatience) {
  std::string address;
  { address = FakeServer(MakeScript(1, 1)).address(); }
  const Connection connection(address);
  Watcher watcher(connection, kImpatient);
  const Watched watched = Watch(watcher);
  EXPECT_EQ(watched.end.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(watched.end.status().message()),
              HasSubstr("no server at " + address));
  EXPECT_THAT(watched.messages, ElementsAre(HasSubstr("lost")));
}

TEST(WatcherTest, OtherErrorsOfTheServerEndItAtOnce) {
  FakeScript script = MakeScript(1, 1);
  script.run.run_id = "another";
  const FakeServer server(script);
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  const Watched watched = Watch(watcher);
  EXPECT_EQ(watched.end.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(watched.messages, IsEmpty());
}

// What a server does to a stream that a sleeping laptop did not read, and what
// gRPC does to one when its buffers are full.
TEST(WatcherTest, AStreamThatTheServerGivesUpIsResumed) {
  for (const auto code :
       {grpc::StatusCode::CANCELLED, grpc::StatusCode::RESOURCE_EXHAUSTED}) {
    FakeScript script = MakeScript(2, 3);
    script.breaks = {5, 2};
    script.break_code = code;
    const FakeServer server(script);
    const Connection connection(server.address());
    Watcher watcher(connection, kImpatient);
    const Watched watched = Watch(watcher);
    ASSERT_TRUE(watched.end.ok()) << watched.end.status();
    EXPECT_EQ(watched.events, script.events);
    EXPECT_THAT(server.script().watched_after, ElementsAre(0, 5, 7));
  }
}

TEST(WatcherTest, DetachEndsAStreamThatWaitsForMore) {
  FakeScript script = MakeScript(1, 2);
  script.events.pop_back();
  script.never_ends = true;
  const FakeServer server(script);
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  std::thread detacher([&] {
    while (!server.all_sent()) std::this_thread::yield();
    watcher.Detach();
  });
  const Watched watched = Watch(watcher);
  detacher.join();
  ASSERT_TRUE(watched.end.ok()) << watched.end.status();
  EXPECT_EQ(*watched.end, Watcher::End::kDetached);
}

TEST(WatcherTest, DetachBeforeWatchEndsItAtOnce) {
  const FakeServer server(MakeScript(1, 2));
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  watcher.Detach();
  const Watched watched = Watch(watcher);
  ASSERT_TRUE(watched.end.ok());
  EXPECT_EQ(*watched.end, Watcher::End::kDetached);
  EXPECT_THAT(watched.events, IsEmpty());
}

TEST(WatcherTest, ASilentStreamIsTakenForBroken) {
  FakeScript script = MakeScript(1, 2);
  script.events.pop_back();
  script.never_ends = true;
  const FakeServer server(script);
  const Connection connection(server.address());
  WatchPolicy policy = kImpatient;
  policy.longest_silence = absl::Milliseconds(20);
  policy.patience = absl::ZeroDuration();
  Watcher watcher(connection, policy);
  const Watched watched = Watch(watcher);
  EXPECT_EQ(watched.end.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(watched.end.status().message()), HasSubstr("silent"));
}

TEST(WatcherTest, AnErrorOfTheReaderEndsIt) {
  const FakeServer server(MakeScript(1, 2));
  const Connection connection(server.address());
  Watcher watcher(connection, kImpatient);
  const auto end = watcher.Watch(
      "run-1", 0, [](const Event&) { return absl::DataLossError("bad"); },
      [](std::string_view) {});
  EXPECT_EQ(end.status(), absl::DataLossError("bad"));
}

}  // namespace
}  // namespace kvrecall
