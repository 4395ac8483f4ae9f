// Recent events: whoever watches a run reads the same with and without them.

#include "server/store/recent_events.h"

#include <map>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/records_db/reader.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

Event Step(int64_t step) {
  StepRecord record;
  record.step = step;
  return {0, "", 1, record};
}

AppendedEvents Batch(const std::string& run, int64_t first, int64_t count) {
  std::vector<Event> events;
  for (int64_t i = 0; i < count; ++i) events.push_back(Step(first + i));
  return {run,
          "sample",
          3,
          first,
          std::make_shared<const std::vector<Event>>(std::move(events)),
          nullptr};
}

Changes Appended(std::vector<AppendedEvents> batches) {
  Changes changes;
  for (const AppendedEvents& batch : batches) changes.runs.push_back(batch.run);
  changes.appended = std::move(batches);
  return changes;
}

bool All(const std::string&) { return true; }

TEST(RecentEventsTest, KnowsWhatCameAndThatThereIsNoMore) {
  RecentEvents recent(100);
  recent.Publish(Appended({Batch("a", 5, 2), Batch("a", 7, 1)}), All);
  EXPECT_FALSE(recent.ReadAfter("a", 3, 9).has_value());
  EXPECT_FALSE(recent.ReadAfter("b", 0, 9).has_value());
  ASSERT_THAT(*recent.ReadAfter("a", 4, 9), SizeIs(3));
  ASSERT_THAT(*recent.ReadAfter("a", 5, 1), SizeIs(1));
  const Event event = (*recent.ReadAfter("a", 5, 1))[0];
  EXPECT_EQ(event.sequence, 6);
  EXPECT_EQ(event.sample_id, "sample");
  EXPECT_EQ(event.attempt, 3);
  EXPECT_THAT(*recent.ReadAfter("a", 7, 9), IsEmpty());
  // Behind the end the store has words of its own.
  EXPECT_FALSE(recent.ReadAfter("a", 8, 9).has_value());
}

TEST(RecentEventsTest, ForgetsARunOfWhichItDoesNotKnowAll) {
  RecentEvents recent(100);
  const auto publish_a = [&](int64_t first) {
    recent.Publish(Appended({Batch("a", first, 1)}), All);
  };
  publish_a(1);
  // Nobody kept the events.
  recent.Publish(Appended({{"a", "sample", 1, 2, nullptr, nullptr}}), All);
  EXPECT_FALSE(recent.ReadAfter("a", 1, 9).has_value());
  publish_a(3);
  EXPECT_THAT(*recent.ReadAfter("a", 2, 9), SizeIs(1));
  // Events came in another way.
  Changes others;
  others.runs = {"a"};
  recent.Publish(others, All);
  EXPECT_FALSE(recent.ReadAfter("a", 3, 9).has_value());
  publish_a(4);
  publish_a(6);
  EXPECT_FALSE(recent.ReadAfter("a", 4, 9).has_value());
  EXPECT_THAT(*recent.ReadAfter("a", 5, 9), SizeIs(1));
  recent.Publish(Appended({Batch("a", 7, 1)}),
                 [](const std::string&) { return false; });
  EXPECT_FALSE(recent.ReadAfter("a", 6, 9).has_value());
  publish_a(8);
  recent.Forget("a");
  EXPECT_FALSE(recent.ReadAfter("a", 7, 9).has_value());
}

// Whatever comes in whatever order: an answer is the truth.
TEST(RecentEventsTest, NeverAnswersWhatIsNotSo) {
  std::mt19937 random(7);
  for (const int64_t most : {1, 5, 40}) {
    RecentEvents recent(most);
    std::map<std::string, int64_t> last;  // of each run
    int answers = 0;
    for (int i = 0; i < 3000; ++i) {
      Changes changes;
      std::set<std::string> unwatched;
      for (int b = random() % 3; b >= 0; --b) {
        const std::string run(1, static_cast<char>('a' + random() % 4));
        const int64_t count = 1 + random() % 4;
        if (random() % 10 == 0) unwatched.insert(run);
        AppendedEvents batch = Batch(run, last[run] + 1, count);
        last[run] += count;
        changes.runs.push_back(run);
        const int kind = static_cast<int>(random() % 12);
        if (kind == 0) continue;  // as by SQL alone
        if (kind == 1) batch.events = nullptr;
        changes.appended.push_back(std::move(batch));
      }
      recent.Publish(changes, [&](const std::string& run) {
        return !unwatched.contains(run);
      });
      if (random() % 20 == 0) recent.Forget("a");
      for (const auto& [run, end] : last) {
        const int64_t after = std::max<int64_t>(0, end - random() % 8);
        const int limit = 1 + static_cast<int>(random() % 6);
        const auto events = recent.ReadAfter(run, after, limit);
        if (!events) continue;
        ++answers;
        ASSERT_EQ(std::ssize(*events), std::min<int64_t>(limit, end - after));
        for (size_t e = 0; e < events->size(); ++e) {
          EXPECT_EQ((*events)[e].sequence, after + 1 + static_cast<int64_t>(e));
          EXPECT_EQ(std::get<StepRecord>((*events)[e].body).step,
                    (*events)[e].sequence);
        }
      }
    }
    EXPECT_GT(answers, most > 1 ? 500 : 50);
  }
}

TEST(RecentEventsTest, HoldsNoMoreThanItMay) {
  RecentEvents recent(10);
  for (int64_t i = 1; i <= 100; ++i)
    recent.Publish(Appended({Batch("a", 3 * i - 2, 3)}), All);
  EXPECT_FALSE(recent.ReadAfter("a", 290, 99).has_value());
  EXPECT_THAT(*recent.ReadAfter("a", 291, 99), SizeIs(9));
}

using WatchedEventsTest = StoreTest;

// Bit for bit what the database has, every kind of event among them.
TEST_F(WatchedEventsTest, AreWhatTheDatabaseHas) {
  const std::string run = Create();
  const auto handle = store_->Subscribe(run, [] {});
  ASSERT_TRUE(Submit(run, {TestSample("a"), TestSample("b")}, true).ok());
  for (const bool fails : {false, true}) {
    const LeasedSample leased = Lease();
    Append(leased, {make_.Start()});
    for (int step = 1; step <= 40; ++step) Append(leased, {make_.Step(step)});
    Append(leased, {fails ? EventMaker::Failure() : make_.Result()});
  }
  Flush();
  const auto reader = RecordsReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  for (int64_t after = 0; after <= 85; ++after) {
    const auto seen = store_->ReadAfter(run, after, 100);
    const auto kept = (*reader)->ReadAfter(run, after, 100);
    ASSERT_TRUE(seen.ok() && kept.ok());
    EXPECT_EQ(*seen, *kept) << after;
  }
  EXPECT_TRUE(absl::IsOutOfRange(store_->ReadAfter(run, 86, 1).status()));
}

TEST_F(WatchedEventsTest, OfADeletedRunThereAreNone) {
  const std::string run = Create();
  const auto handle = store_->Subscribe(run, [] {});
  ASSERT_TRUE(Submit(run, {TestSample("a")}, true).ok());
  Append(Lease(), {EventMaker::Failure()});
  Flush();
  EXPECT_THAT(*store_->ReadAfter(run, 1, 9), SizeIs(1));
  ASSERT_TRUE(Await<absl::StatusOr<DeletedRun>>([&](auto done) {
                store_->DeleteRun(run, std::move(done));
              }).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->ReadAfter(run, 1, 9).status()));
}

}  // namespace
}  // namespace kvrecall
