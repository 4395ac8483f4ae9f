// What the store tells its observer: the queue, records, ends and faults.

#include "server/store/store_observer.h"

#include <atomic>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

class QueueObserver : public StoreObserver {
 public:
  void OnOpened(int64_t servers) override { earlier_servers = servers; }
  void OnCommit(const CommitReport& commit) override {
    const std::lock_guard lock(mutex_);
    committed += commit.events;
    ended_.Add(commit.ended);
    appended_.insert(appended_.end(), commit.appended.begin(),
                     commit.appended.end());
  }
  void OnRefused(const std::vector<Event>& events) override {
    refused += std::ssize(events);
  }
  void OnQueue(const QueueSize& size) override {
    waiting = size.waiting;
    running = size.running;
    waiting_tokens = size.waiting_tokens;
  }
  void OnDatabaseFault(DatabaseFault fault) override {
    busy += fault == DatabaseFault::kBusy;
  }
  SampleEnds ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  // That an engine made.
  std::vector<AppendedEvents> from_engine() {
    const std::lock_guard lock(mutex_);
    std::vector<AppendedEvents> batches = appended_;
    std::erase_if(batches, [](const AppendedEvents& batch) {
      return batch.config == nullptr;
    });
    return batches;
  }
  std::atomic<int64_t> committed = 0, refused = 0, waiting = -1, running = -1,
                       waiting_tokens = -1, earlier_servers = -1, busy = 0;

 private:
  std::mutex mutex_;
  SampleEnds ended_;
  std::vector<AppendedEvents> appended_;
};

class ObserverTest : public StoreTest {
 protected:
  void SetUp() override {
    options_.observer = &observer_;
    Open();
  }
  void TearDown() override { store_.reset(); }

  // What the database has in its queue, of tokens.
  int64_t QueuedTokens() {
    const auto database = Database::Open(path_, {.read_only = true});
    EXPECT_TRUE(database.ok()) << database.status();
    return (*database)
        ->QueryInt(
            "SELECT coalesce(sum(cost), 0) FROM samples WHERE state = 'queued'")
        .value_or(-1);
  }
  void ExpectQueue(int64_t waiting, int64_t running) {
    EXPECT_EQ(observer_.waiting, waiting);
    EXPECT_EQ(observer_.running, running);
    EXPECT_EQ(observer_.waiting_tokens, QueuedTokens());
  }

  QueueObserver observer_;
};

TEST_F(ObserverTest, ItKnowsTheQueue) {
  ExpectQueue(0, 0);
  const std::string run = Create();
  Sample longer = TestSample("b");
  longer.context += std::string(4000, 'x');
  ASSERT_TRUE(Submit(run, {TestSample("a"), longer, TestSample("c")}).ok());
  ExpectQueue(3, 0);
  EXPECT_GT(observer_.waiting_tokens, 1000);
  const LeasedSample leased = Lease();
  ExpectQueue(2, 1);
  store_->Release(leased);
  Flush();
  ExpectQueue(3, 0);
  const LeasedSample again = Lease();
  Append(again, {make_.Start(), make_.Result()});
  Flush();
  ExpectQueue(2, 0);
  EXPECT_EQ(observer_.committed, 2);
  Reopen();
  ExpectQueue(2, 0);
  EXPECT_EQ(observer_.earlier_servers, 1);
  ASSERT_TRUE(Cancel(run).ok());
  ExpectQueue(0, 0);
  EXPECT_EQ(observer_.waiting_tokens, 0);
}

TEST_F(ObserverTest, ItHearsHowSamplesEnd) {
  const std::string run = Create();
  std::vector<Sample> samples;
  for (const char* id : {"a", "b", "c", "d", "e"})
    samples.push_back(TestSample(id));
  ASSERT_TRUE(Submit(run, samples).ok());
  const auto end = [&](decltype(Event::body) body) {
    Event event;
    event.body = std::move(body);
    Append(Lease(), {std::move(event)});
  };
  SampleResult result;
  result.finish_reason = FinishReason::kEos;
  end(result);
  result.finish_reason = FinishReason::kLength;
  end(result);
  end(SampleFailure{"OUT_OF_MEMORY", "no room"});
  Lease();
  ASSERT_TRUE(Cancel(run).ok());  // one leased, one queued
  SampleEnds ends = observer_.ended();
  EXPECT_EQ(ends.ok, 1);
  EXPECT_EQ(ends.length, 1);
  EXPECT_EQ(ends.failed, 1);
  EXPECT_EQ(ends.cancelled, 2);
  EXPECT_EQ(ends.deadline, 0);
  EXPECT_EQ(ends.reused, 0);

  NewRun limited = TestRun("limited");
  limited.time_limit = absl::Milliseconds(1);
  const auto made = TryCreate(limited);
  ASSERT_TRUE(made.ok()) << made.status();
  // Either it is refused because the run has ended, or it ends with that.
  const bool accepted = Submit(made->run_id, {TestSample("a")}).status().ok();
  while (!Info(made->run_id).end_time.has_value()) Flush();
  EXPECT_EQ(observer_.ended().deadline, accepted ? 1 : 0);
}

TEST_F(ObserverTest, ItHearsOfRecordsWithTheirRunsConfig) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  const LeasedSample one = Lease();
  const std::vector<Event> first = {make_.Start(), make_.Step(1)};
  const std::vector<Event> last = {make_.Step(2), make_.Result()};
  Append(one, first);
  Flush();
  Append(one, last);
  const LeasedSample two = Lease();
  Append(two, {make_.Start()});
  Flush();
  ASSERT_TRUE(Cancel(run).ok());
  Append(two, {make_.Step(1)});  // dropped
  Flush();
  const std::vector<AppendedEvents> batches = observer_.from_engine();
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(*batches[0].config, TestConfig());
  EXPECT_EQ(batches[1].config, batches[0].config);
  EXPECT_NE(batches[2].config, batches[0].config);
  EXPECT_EQ(*batches[2].config, TestConfig());
  EXPECT_EQ((*batches[0].events)[1].body, first[1].body);
  EXPECT_EQ((*batches[1].events)[0].body, last[0].body);
  EXPECT_EQ((*batches[1].events)[1].body, last[1].body);
}

// Steps that were made twice were made twice.
TEST_F(ObserverTest, ItHearsOfEachAttempt) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample first = Lease();
  Append(first, {make_.Start(), make_.Step(1)});
  store_->Release(first);
  const LeasedSample second = Lease();
  EXPECT_EQ(second.attempt, 2);
  Append(second, {make_.Start(), make_.Step(1), make_.Result()});
  Flush();
  const std::vector<AppendedEvents> batches = observer_.from_engine();
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].attempt, 1);
  EXPECT_EQ(batches[0].events->size(), 2u);
  EXPECT_EQ(batches[1].attempt, 2);
  EXPECT_EQ(batches[1].events->size(), 3u);
}

// Another process had the lock, and they were tried again.
TEST_F(ObserverTest, ItHearsOfEachRecordOnceHoweverLate) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  store_.reset();
  options_.writer.busy_timeout = absl::Milliseconds(1);
  Open();
  const LeasedSample leased = Lease();
  auto other = Database::Open(path_, {});
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)->Exec("BEGIN IMMEDIATE").ok());
  Append(leased, {make_.Start()});
  Append(leased, {make_.Step(1), make_.Step(2)});
  while (observer_.busy < 2) std::this_thread::yield();
  EXPECT_EQ(observer_.from_engine().size(), 0u);
  ASSERT_TRUE((*other)->Exec("ROLLBACK").ok());
  Append(leased, {make_.Result()});
  while (Info(run).last_sequence < 4) std::this_thread::yield();
  const std::vector<AppendedEvents> batches = observer_.from_engine();
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0].first, 1);
  EXPECT_EQ(batches[1].first, 2);
  EXPECT_EQ(batches[2].first, 4);
}

TEST_F(ObserverTest, ItHearsOfRecordsThatAreRefused) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  Event step = make_.Step(1);
  std::get<StepRecord>(step.body).entropy =
      std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(absl::IsInvalidArgument(
      store_->Append(leased, {make_.Start(), std::move(step)})));
  EXPECT_EQ(observer_.refused, 2);
  Append(leased, {make_.Start()});
  Flush();
  EXPECT_EQ(observer_.refused, 2);
}

TEST_F(ObserverTest, ItHearsThatRecordsWereReused) {
  NewRun first = TestRun("first");
  first.may_reuse = true;
  const std::string source = TryCreate(first)->run_id;
  ASSERT_TRUE(Submit(source, {TestSample("a")}, true).ok());
  Append(Lease(), {make_.Start(), make_.Step(1), make_.Result()});
  Flush();
  NewRun second = TestRun("second");
  second.may_reuse = true;
  const std::string run = TryCreate(second)->run_id;
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}).ok());
  EXPECT_EQ(Lease().sample.id, "b");  // the first needs no engine
  const SampleEnds ends = observer_.ended();
  EXPECT_EQ(ends.reused, 1);
  EXPECT_EQ(ends.ok + ends.length, 2);
  EXPECT_EQ(observer_.from_engine().size(), 1u);  // of the first run
}

// Another process holds the lock for longer than the store waits.
TEST_F(ObserverTest, ItHearsOfStatementsThatFail) {
  store_.reset();
  options_.writer.busy_timeout = absl::ZeroDuration();
  Open();
  EXPECT_EQ(observer_.busy, 0);
  auto other = Database::Open(path_, {});
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)->Exec("BEGIN IMMEDIATE").ok());
  EXPECT_TRUE(absl::IsUnavailable(TryCreate(TestRun("a")).status()));
  EXPECT_GE(observer_.busy, 1);
  ASSERT_TRUE((*other)->Exec("ROLLBACK").ok());
}

}  // namespace
}  // namespace kvrecall
