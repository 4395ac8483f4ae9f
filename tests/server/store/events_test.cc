// Events: what is appended is read back, in order, by everybody.

#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

using EventsTest = StoreTest;

// Every kind, with and without optional fields, with the same doubles.
TEST_F(EventsTest, RoundTrip) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
  std::vector<Event> expected;
  for (const char* id : {"a", "b"}) {
    std::vector<Event> events = {make_.Start()};
    for (int step = 1; step <= 40; ++step) events.push_back(make_.Step(step));
    events.push_back(*id == 'a' ? make_.Result() : EventMaker::Failure());
    const LeasedSample leased = Lease();
    for (Event& event : events) {
      Append(leased, {event});
      event.sample_id = id;
      event.sequence = static_cast<int64_t>(expected.size()) + 1;
      expected.push_back(event);
    }
  }
  expected.push_back({85, "", 1, RunEnd{RunState::kPartiallyFailed, 1, 1}});
  Flush();
  EXPECT_EQ(Events(run), expected);

  const auto reader = RecordsReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto samples = (*reader)->ListSamples(run, 0, 10);
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_THAT(*samples, SizeIs(2));
  EXPECT_EQ((*samples)[0].state, SampleState::kDone);
  EXPECT_EQ((*samples)[0].start, std::get<SampleStart>(expected[0].body));
  EXPECT_EQ((*samples)[0].result, std::get<SampleResult>(expected[41].body));
  EXPECT_EQ((*samples)[1].state, SampleState::kFailed);
  EXPECT_EQ((*samples)[1].failure, std::get<SampleFailure>(expected[83].body));
  EXPECT_THAT(*(*reader)->ListSamples(run, 1, 10), SizeIs(1));
}

TEST_F(EventsTest, PagesJoinToTheWhole) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  for (int step = 1; step <= 25; ++step) Append(leased, {make_.Step(step)});
  Flush();
  const std::vector<Event> whole = Events(run);
  std::vector<Event> pages;
  while (true) {
    const auto page =
        store_->ReadAfter(run, static_cast<int64_t>(pages.size()), 7);
    ASSERT_TRUE(page.ok()) << page.status();
    if (page->empty()) break;
    pages.insert(pages.end(), page->begin(), page->end());
  }
  EXPECT_EQ(pages, whole);
  EXPECT_TRUE(absl::IsOutOfRange(store_->ReadAfter(run, 26, 1).status()));
}

// Two runs are written at once; each has its own gap-free sequence, in which
// a sample's steps keep their order.
TEST_F(EventsTest, SequencesHaveNoGapsUnderConcurrentAppends) {
  const std::string runs[] = {Create("1"), Create("2")};
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Submit(runs[i % 2], {TestSample(std::to_string(i))}).ok());
  }
  std::vector<std::thread> engines;
  for (uint32_t i = 0; i < 4; ++i) {
    engines.emplace_back([this, i] {
      EventMaker make(i);
      const LeasedSample leased = Lease();
      for (int step = 1; step <= 50; ++step) Append(leased, {make.Step(step)});
    });
  }
  for (std::thread& engine : engines) engine.join();
  Flush();
  for (const std::string& run : runs) {
    const std::vector<Event> events = Events(run);
    ASSERT_THAT(events, SizeIs(100));
    std::map<std::string, int64_t> steps;
    for (size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(events[i].sequence, static_cast<int64_t>(i) + 1);
      EXPECT_EQ(std::get<StepRecord>(events[i].body).step,
                ++steps[events[i].sample_id]);
    }
  }
}

TEST_F(EventsTest, EventsThatDoNotFitAreRefused) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  Event step = make_.Step(1);
  std::get<StepRecord>(step.body).recalls.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Append(leased, {step})));
  Event bare = make_.Step(1);
  std::get<StepRecord>(bare.body).gaps.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Append(leased, {bare})));
  LeasedSample unknown = leased;
  unknown.attempt = 2;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(store_->Append(unknown, {make_.Step(1)})));
  Append(leased, {make_.Result()});
  EXPECT_TRUE(
      absl::IsFailedPrecondition(store_->Append(leased, {make_.Step(1)})));
  Flush();
  EXPECT_THAT(Events(run), SizeIs(1));
}

// A listener is called after the commit: what it reads is there.
TEST_F(EventsTest, ListenersSeeWhatWasCommitted) {
  const std::string run = Create("1"), other = Create("2");
  std::mutex mutex;
  std::condition_variable changed;
  int64_t seen = 0;
  int others = 0;
  auto handle = store_->Subscribe(run, [&] {
    const int64_t last = Info(run).last_sequence;
    std::lock_guard lock(mutex);
    seen = last;
    changed.notify_one();
  });
  auto other_handle = store_->Subscribe(other, [&] { ++others; });
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  const LeasedSample leased = Lease();
  Append(leased, {make_.Start()});
  Append(leased, {make_.Step(1), make_.Result()});
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return seen == 4; });
  }
  handle.reset();
  other_handle.reset();
  EXPECT_EQ(others, 0);
}

// The writer is held up in a callback; Append waits as soon as the buffer is
// full, and goes on when there is room.
TEST_F(EventsTest, AppendWaitsWhileTheBufferIsFull) {
  store_.reset();
  options_.buffer_events = 4;
  options_.batch_events = 4;
  Open();
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false, let_go = false;
  store_->CreateRun(TestRun("hold"), [&](const auto&) {
    std::unique_lock lock(mutex);
    held = true;
    changed.notify_all();
    changed.wait(lock, [&] { return let_go; });
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return held; });
  }
  for (int step = 1; step <= 4; ++step) Append(leased, {make_.Step(step)});
  std::atomic<bool> through = false;
  const Event fifth = make_.Step(5);
  std::thread engine([&] {
    Append(leased, {fifth});
    through = true;
  });
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  EXPECT_FALSE(through);
  {
    std::lock_guard lock(mutex);
    let_go = true;
  }
  changed.notify_all();
  engine.join();
  Flush();
  EXPECT_THAT(Events(run), SizeIs(5));
}

// The view for pandas and DuckDB: each lane of the last attempt's steps.
TEST_F(EventsTest, TheViewGivesTheLastAttempt) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  LeasedSample leased = Lease();
  Append(leased, {make_.Step(1), make_.Step(2)});
  store_->Release(leased);
  leased = Lease();
  ASSERT_EQ(leased.attempt, 2);
  const Event event = make_.Step(1);
  Append(leased, {event});
  Flush();
  const auto& step = std::get<StepRecord>(event.body);

  const auto database = OpenForReading(path_);
  ASSERT_TRUE(database.ok());
  auto row = (*database)->Prepare(
      "SELECT run, sample, attempt, step, n, token, entropy, policy, scope, "
      "budget, k, recall, chance, lift, mass, mass_ratio, "
      "recall_without_free_hits, drift, fetched_back FROM recalls");
  ASSERT_TRUE(row.ok()) << row.status();
  const RunConfig config = TestConfig();
  for (size_t i = 0; i < step.recalls.size(); ++i) {
    ASSERT_TRUE(row->Step().value());
    const Lane lane = Lanes(config)[i];
    const RecallRecord& recall = step.recalls[i];
    EXPECT_EQ(row->Text(0), run);
    EXPECT_EQ(row->Text(1), "a");
    EXPECT_EQ(row->Int(2), 2);
    EXPECT_EQ(row->Int(3), 1);
    EXPECT_EQ(row->Int(4), step.n);
    EXPECT_EQ(row->Text(5), step.token);
    EXPECT_EQ(row->Double(6), step.entropy);
    EXPECT_EQ(row->Text(7), config.policies[lane.policy].ToString());
    EXPECT_EQ(row->Text(8), ScopeName(config.scopes[lane.scope]));
    EXPECT_EQ(row->Text(9), config.budgets[lane.budget].ToString());
    EXPECT_EQ(row->Int(10), recall.k);
    EXPECT_EQ(row->Double(11), recall.recall);
    EXPECT_EQ(row->Double(12), recall.chance);
    EXPECT_EQ(row->OptionalDouble(13), recall.lift);
    EXPECT_EQ(row->Double(14), recall.mass);
    EXPECT_EQ(row->Double(15), recall.mass_ratio);
    EXPECT_EQ(row->OptionalDouble(16), recall.recall_without_free_hits);
    EXPECT_EQ(row->OptionalDouble(17), recall.drift);
    EXPECT_EQ(row->OptionalDouble(18), recall.fetched_back);
  }
  EXPECT_FALSE(row->Step().value());
}

TEST_F(EventsTest, TheViewOfGapsGivesTheLastAttempt) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  LeasedSample leased = Lease();
  Append(leased, {make_.Step(1), make_.Step(2)});
  store_->Release(leased);
  leased = Lease();
  const Event event = make_.Step(1);
  Append(leased, {event});
  Flush();
  const auto& step = std::get<StepRecord>(event.body);

  const auto database = OpenForReading(path_);
  ASSERT_TRUE(database.ok());
  auto row = (*database)->Prepare(
      "SELECT run, sample, attempt, step, n, token, entropy, lane, kind, "
      "policy, scope, budget, kl, entropy_change, logprob_change, "
      "gap_token_id, top1_agrees FROM gaps ORDER BY kind DESC");
  ASSERT_TRUE(row.ok()) << row.status();
  const RunConfig config = TestConfig();
  for (size_t i = 0; i < config.gaps.size(); ++i) {
    ASSERT_TRUE(row->Step().value());
    const GapSpec& lane = config.gaps[i];
    const GapRecord& gap = step.gaps[i];
    EXPECT_EQ(row->Text(0), run);
    EXPECT_EQ(row->Text(1), "a");
    EXPECT_EQ(row->Int(2), 2);
    EXPECT_EQ(row->Int(3), 1);
    EXPECT_EQ(row->Int(4), step.n);
    EXPECT_EQ(row->Text(5), step.token);
    EXPECT_EQ(row->Double(6), step.entropy);
    EXPECT_EQ(row->Text(7), lane.ToString());
    EXPECT_EQ(row->Text(8), i == 0 ? "without_gold" : "only_pred");
    EXPECT_EQ(row->IsNull(9), i == 0);
    EXPECT_EQ(row->Text(9), i == 0 ? "" : lane.policy.ToString());
    EXPECT_EQ(row->Text(10), ScopeName(lane.scope));
    EXPECT_EQ(row->Text(11), lane.budget.ToString());
    EXPECT_EQ(row->Double(12), gap.kl);
    EXPECT_EQ(row->Double(13), gap.entropy_change);
    EXPECT_EQ(row->Double(14), gap.logprob_change);
    EXPECT_EQ(row->Int(15), gap.token_id);
    EXPECT_EQ(row->Int(16) != 0, gap.top1_agrees);
  }
  EXPECT_FALSE(row->Step().value());
}

}  // namespace
}  // namespace kvrecall
