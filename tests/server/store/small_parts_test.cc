#include <cmath>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/store/event_log.h"
#include "server/store/listeners.h"
#include "server/store/process_lock.h"
#include "server/store/run_id.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

TEST(RunIdTest, NamesSortInOrderEvenIfTheClockDoesNot) {
  RunIdGenerator generator;
  std::string last;
  for (const int64_t ms : {1'700'000'000'000, 1'700'000'000'000,
                           1'600'000'000'000, 1'700'000'000'005}) {
    const std::string id = generator.Next(absl::FromUnixMillis(ms));
    EXPECT_EQ(id.size(), 26u);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdefghjkmnpqrstvwxyz"),
              std::string::npos);
    EXPECT_LT(last, id);
    last = id;
  }
}

TEST(CheckEventsTest, WhatCouldNotBeKeptIsRefused) {
  EventMaker make(1);
  const size_t lanes = Lanes(TestConfig()).size();
  const size_t gaps = TestConfig().gaps.size();
  const auto check = [&](const std::vector<Event>& events) {
    return CheckEvents(events, lanes, gaps);
  };
  EXPECT_TRUE(check({make.Start(), make.Step(1), make.Result()}).ok());
  Event nan = make.Step(1);
  std::get<StepRecord>(nan.body).recalls[3].mass = NAN;
  Event infinite = make.Result();
  std::get<SampleResult>(infinite.body).score = INFINITY;
  Event drift = make.Step(1);
  std::get<StepRecord>(drift.body).recalls[0].drift = NAN;
  Event gap = make.Step(1);
  std::get<StepRecord>(gap.body).gaps[1].kl = INFINITY;
  Event one_gap = make.Step(1);
  std::get<StepRecord>(one_gap.body).gaps.pop_back();
  Event one_score = make.Result();
  std::get<SampleResult>(one_score.body).gap_scores = {0.5};
  Event bad_score = make.Result();
  std::get<SampleResult>(bad_score.body).gap_scores = {0.5, NAN};
  const std::vector<std::vector<Event>> bad = {{nan},
                                               {infinite},
                                               {drift},
                                               {gap},
                                               {one_gap},
                                               {one_score},
                                               {bad_score},
                                               {{0, "", 1, RunEnd()}},
                                               {make.Result(), make.Step(1)}};
  for (const auto& events : bad) {
    EXPECT_TRUE(absl::IsInvalidArgument(check(events)));
  }
  EXPECT_TRUE(
      absl::IsInvalidArgument(CheckEvents({make.Step(1)}, lanes - 1, gaps)));
}

TEST(ProcessLockTest, OneAtATimeAndSymbolicLinksDoNotFoolIt) {
  TempDir dir;
  const std::string path = dir.File("runs.db");
  std::ofstream(path).close();
  std::filesystem::create_symlink(path, dir.File("link.db"));
  {
    auto lock = ProcessLock::Take(path);
    ASSERT_TRUE(lock.ok()) << lock.status();
    for (const std::string& name : {path, dir.File("link.db")}) {
      const absl::Status second = ProcessLock::Take(name).status();
      EXPECT_TRUE(absl::IsFailedPrecondition(second)) << second;
      EXPECT_THAT(std::string(second.message()),
                  HasSubstr("in use by another kvrecall-server (process " +
                            std::to_string(getpid())));
      EXPECT_EQ(ProcessLock::Check(name), second);
    }
  }
  EXPECT_TRUE(ProcessLock::Check(path).ok());
  EXPECT_TRUE(ProcessLock::Take(path).ok()) << "a check lets go";
}

TEST(ProcessLockTest, ACheckMakesNoFile) {
  TempDir dir;
  EXPECT_TRUE(ProcessLock::Check(dir.File("runs.db")).ok());
  EXPECT_FALSE(std::filesystem::exists(dir.File("runs.db.lock")));
}

TEST(ListenersTest, OnlyTheRunsOwnAreCalledUntilTheirHandleGoes) {
  Listeners listeners;
  int a = 0, b = 0;
  auto first = listeners.Add("a", [&] { ++a; });
  auto second = listeners.Add("b", [&] { ++b; });
  listeners.Notify("a");
  listeners.Notify("c");
  first.reset();
  listeners.Notify("a");
  listeners.Notify("b");
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 1);
}

// A listener may subscribe; a handle may outlive the registry.
TEST(ListenersTest, NoLockIsHeldThatAListenerNeeds) {
  std::shared_ptr<void> outer, inner;
  {
    Listeners listeners;
    outer = listeners.Add("a", [&] { inner = listeners.Add("a", [] {}); });
    listeners.Notify("a");
    EXPECT_NE(inner, nullptr);
    outer.reset();
  }
}

// After the handle is gone, so may be what the listener uses.
TEST(ListenersTest, EndingAHandleWaitsForTheCallInProgress) {
  Listeners listeners;
  std::mutex mutex;
  std::condition_variable changed;
  bool inside = false, let_go = false;
  auto alive = std::make_unique<int>(0);
  auto handle = listeners.Add("a", [&] {
    std::unique_lock lock(mutex);
    inside = true;
    changed.notify_all();
    changed.wait(lock, [&] { return let_go; });
    ++*alive;
  });
  std::thread notifier([&] { listeners.Notify("a"); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return inside; });
  }
  std::thread opener([&] {
    std::lock_guard lock(mutex);
    let_go = true;
    changed.notify_all();
  });
  handle.reset();
  alive.reset();
  notifier.join();
  opener.join();
}

}  // namespace
}  // namespace kvrecall
