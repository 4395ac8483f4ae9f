#include "server/service/watch_hub.h"

#include <atomic>
#include <memory>
#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

class FakeStream final : public WatchStream {
 public:
  absl::Time Beat(absl::Time now) override { return now + absl::Hours(1); }
  void EndForShutdown() override { ++ended; }

  std::atomic<int> ended = 0;
};

class WatchHubTest : public ::testing::Test {
 protected:
  static absl::Time Long() { return absl::Now() + absl::Minutes(1); }

  WatchHub hub_{absl::Hours(1)};
  const std::shared_ptr<FakeStream> first_ = std::make_shared<FakeStream>();
  const std::shared_ptr<FakeStream> second_ = std::make_shared<FakeStream>();
};

TEST_F(WatchHubTest, StreamsAreEndedOnceAlsoThoseThatComeLater) {
  hub_.Add(first_);
  EXPECT_FALSE(hub_.is_stopped());
  hub_.Stop();
  hub_.Stop();
  EXPECT_TRUE(hub_.is_stopped());
  EXPECT_EQ(first_->ended, 1);
  hub_.Add(second_);
  EXPECT_EQ(second_->ended, 1);
  EXPECT_EQ(hub_.open(), 2);
}

TEST_F(WatchHubTest, NobodyWaitsForNothing) {
  hub_.Stop();
  EXPECT_TRUE(hub_.WaitForStopped(absl::InfinitePast()));
}

TEST_F(WatchHubTest, WaitsForThoseThatWereOpenAndForNoOther) {
  const uint64_t first = hub_.Add(first_);
  hub_.Stop();
  hub_.Add(second_);
  EXPECT_FALSE(hub_.WaitForStopped(absl::Now() + absl::Milliseconds(1)));
  std::thread client([&] { hub_.Remove(first); });
  EXPECT_TRUE(hub_.WaitForStopped(Long()));
  client.join();
  EXPECT_EQ(hub_.open(), 1);
}

TEST_F(WatchHubTest, KnowsWhenAStreamWentLast) {
  EXPECT_EQ(hub_.last_removed(), absl::InfinitePast());
  const absl::Time before = absl::Now();
  hub_.Remove(hub_.Add(first_));
  EXPECT_GE(hub_.last_removed(), before);
  EXPECT_LE(hub_.last_removed(), absl::Now());
}

}  // namespace
}  // namespace kvrecall
