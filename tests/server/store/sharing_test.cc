// What clients have of one another: turns, limits, and records.

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

class SharingTest : public StoreTest {
 protected:
  std::string CreateOf(const std::string& owner, const std::string& request,
                       bool may_reuse = false) {
    NewRun run = TestRun(request);
    run.owner = owner;
    run.may_reuse = may_reuse;
    const auto created = TryCreate(std::move(run));
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->run_id : "";
  }

  // Leases the run's next sample and lets it finish.
  std::vector<Event> Finish(const LeasedSample& leased, int steps) {
    std::vector<Event> events = {make_.Start()};
    for (int step = 1; step <= steps; ++step)
      events.push_back(make_.Step(step));
    events.push_back(make_.Result());
    Append(leased, events);
    Flush();
    return events;
  }
};

TEST_F(SharingTest, TheOwnerIsKept) {
  const std::string run = CreateOf("alice", "r");
  EXPECT_EQ(Info(run).owner, "alice");
  Reopen();
  EXPECT_EQ(Info(run).owner, "alice");
}

TEST_F(SharingTest, OneSampleDoesNotWaitForAQueueOfAnothers) {
  const std::string many = CreateOf("alice", "many");
  ASSERT_TRUE(Submit(many, TestSamples("a", 50)).ok());
  EXPECT_EQ(Lease().sample.id, "a0");
  const std::string one = CreateOf("bob", "one");
  ASSERT_TRUE(Submit(one, TestSamples("b", 1)).ok());
  // A turn has many such short samples, but not all of them.
  std::vector<std::string> next;
  for (int i = 0; i < 50; ++i) next.push_back(Lease().sample.id);
  EXPECT_THAT(next, Contains("b0"));
}

TEST_F(SharingTest, ItIsKnownHowManyComeBefore) {
  const std::string first = CreateOf("alice", "first");
  const std::string second = CreateOf("bob", "second");
  ASSERT_TRUE(Submit(first, TestSamples("a", 3)).ok());
  ASSERT_TRUE(Submit(second, TestSamples("b", 2)).ok());
  EXPECT_EQ(store_->SamplesAhead(first).value(), 0);
  EXPECT_EQ(store_->SamplesAhead(second).value(), 3);
  Finish(Lease(), 1);
  EXPECT_EQ(store_->SamplesAhead(second).value(), 2);
  EXPECT_EQ(store_->SamplesAhead("none").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(SharingTest, OfOneClientTheOldestComesFirst) {
  const std::string first = CreateOf("alice", "first");
  const std::string second = CreateOf("alice", "second");
  ASSERT_TRUE(Submit(first, TestSamples("a", 2)).ok());
  ASSERT_TRUE(Submit(second, TestSamples("b", 1)).ok());
  ASSERT_TRUE(Submit(first, TestSamples("c", 1)).ok());
  std::vector<std::string> order;
  for (int i = 0; i < 4; ++i) order.push_back(Lease().sample.id);
  EXPECT_THAT(order, ElementsAre("a0", "a1", "b0", "c0"));
}

TEST_F(SharingTest, EachClientHasALimitOfItsOwn) {
  options_.limits.samples_each = 2;
  options_.limits.samples = 3;
  Reopen();
  const std::string alice = CreateOf("alice", "a"), bob = CreateOf("bob", "b");
  constexpr auto kTaken = SubmitOutcome::kAccepted;
  constexpr auto kFull = SubmitOutcome::kQueueFull;
  EXPECT_THAT(*Submit(alice, TestSamples("a", 3)),
              ElementsAre(kTaken, kTaken, kFull));
  EXPECT_THAT(*Submit(bob, TestSamples("b", 2)), ElementsAre(kTaken, kFull));
  Finish(Lease(), 1);  // alice's: there is room for one more, of anyone
  EXPECT_THAT(*Submit(bob, TestSamples("c", 2)), ElementsAre(kTaken, kFull));
}

TEST_F(SharingTest, TokensAreLimitedToTheLastOne) {
  const std::string probe = CreateOf("alice", "probe");
  ASSERT_TRUE(Submit(probe, TestSamples("p", 1)).ok());
  auto database = Database::Open(path_, {.read_only = true});
  ASSERT_TRUE(database.ok());
  const int64_t cost =
      (*database)->QueryInt("SELECT max(cost) FROM samples").value();
  EXPECT_GT(cost, TestConfig().max_new_tokens);
  for (const int64_t missing : {0, 1}) {
    options_.limits.tokens = 3 * cost - missing;
    Reopen();
    const std::string run = CreateOf("bob", std::to_string(missing));
    const auto outcomes = Submit(run, TestSamples("q", 2));
    ASSERT_TRUE(outcomes.ok());
    EXPECT_EQ(outcomes->back(), missing == 0 ? SubmitOutcome::kAccepted
                                             : SubmitOutcome::kQueueFull);
    ASSERT_TRUE(Cancel(run).ok());
  }
}

TEST_F(SharingTest, RecordsOfAnEarlierRunStandForTheSame) {
  const std::string first = CreateOf("alice", "first");
  ASSERT_TRUE(Submit(first, TestSamples("s", 1)).ok());
  Finish(Lease(), 3);
  std::vector<Event> before = Events(first);
  ASSERT_EQ(before.size(), 5u);

  // An engine that waits for samples, and is given none of these.
  std::thread engine([this] {
    EXPECT_EQ(store_->Lease().status().code(), absl::StatusCode::kCancelled);
  });
  // Of the copy's copy the first run's name is told, not the copy's.
  for (const char* owner : {"bob", "eve"}) {
    const std::string again = CreateOf(owner, owner, /*may_reuse=*/true);
    ASSERT_TRUE(Submit(again, TestSamples("s", 1), /*complete=*/true).ok());
    while (!Info(again).end_time) Flush();
    EXPECT_EQ(Info(again).state, RunState::kSucceeded);
    std::vector<Event> after = Events(again);
    ASSERT_EQ(after.size(), 6u);  // and the run's end
    EXPECT_EQ(std::get<SampleStart>(after[0].body).reused_from, first);
    std::get<SampleStart>(after[0].body).reused_from = "";
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(after[i].body, before[i].body) << i;
      EXPECT_EQ(after[i].sequence, static_cast<int64_t>(i + 1));
    }
  }
  store_->StopLeasing();
  engine.join();
}

TEST_F(SharingTest, WhatDiffersIsComputed) {
  const std::string first = CreateOf("alice", "first", true);
  ASSERT_TRUE(Submit(first, TestSamples("s", 1)).ok());
  Finish(Lease(), 1);

  const auto is_computed = [&](NewRun run, Sample sample) {
    const auto created = TryCreate(std::move(run));
    if (!created.ok()) return false;
    const std::string id = sample.id;
    EXPECT_TRUE(Submit(created->run_id, {std::move(sample)}).ok());
    const LeasedSample leased = Lease();
    Finish(leased, 1);
    return leased.run_id == created->run_id && leased.sample.id == id;
  };
  NewRun other = TestRun("budget");
  other.may_reuse = true;
  other.config.budgets[0].value = 0.3;
  EXPECT_TRUE(is_computed(other, TestSample("s0")));
  other = TestRun("program");
  other.may_reuse = true;
  other.provenance.model_digest = "another";
  EXPECT_TRUE(is_computed(other, TestSample("s0")));
  other = TestRun("text");
  other.may_reuse = true;
  Sample sample = TestSample("s0");
  sample.context += "!";
  EXPECT_TRUE(is_computed(other, sample));
  other = TestRun("fresh");  // as nobody asked for less
  EXPECT_TRUE(is_computed(other, TestSample("s0")));
}

// They must not hold up the queue either.
TEST_F(SharingTest, RecordsThatAreDamagedAreComputedAgain) {
  const std::string first = CreateOf("alice", "first");
  ASSERT_TRUE(Submit(first, TestSamples("s", 1)).ok());
  Finish(Lease(), 3);
  store_.reset();
  {
    const auto database = OpenForWriting(path_, {});
    ASSERT_TRUE(database.ok()) << database.status();
    ASSERT_TRUE((*database)->Exec("DELETE FROM steps WHERE step = 2").ok());
  }
  Open();
  const std::string again = CreateOf("bob", "again", /*may_reuse=*/true);
  ASSERT_TRUE(Submit(again, TestSamples("s", 1)).ok());
  EXPECT_EQ(Lease().run_id, again);
}

TEST_F(SharingTest, AFailedSampleIsComputedAgain) {
  const std::string first = CreateOf("alice", "first");
  ASSERT_TRUE(Submit(first, TestSamples("s", 1)).ok());
  Append(Lease(), {make_.Start(), EventMaker::Failure()});
  Flush();
  const std::string again = CreateOf("alice", "again", true);
  ASSERT_TRUE(Submit(again, TestSamples("s", 1)).ok());
  EXPECT_EQ(Lease().run_id, again);
}

}  // namespace
}  // namespace kvrecall
