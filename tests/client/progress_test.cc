#include "client/render/progress.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

#include "client/render/text_table.h"

namespace kvrecall {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

Event Step(int64_t sequence) {
  return {.sequence = sequence,
          .sample_id = "s",
          .attempt = 1,
          .body = StepRecord{}};
}

Event Done(int64_t sequence) {
  return {.sequence = sequence,
          .sample_id = "s",
          .attempt = 1,
          .body = SampleResult{}};
}

Event Failed(int64_t sequence) {
  return {.sequence = sequence,
          .sample_id = "s",
          .attempt = 1,
          .body = SampleFailure{}};
}

TEST(ProgressTest, ShowsCountsSpeedAndTimeLeft) {
  Progress progress(/*total=*/4, kStart);
  for (int i = 1; i <= 40; ++i) progress.Add(Step(i), true);
  progress.Add(Done(41), true);
  const absl::Time now = kStart + absl::Seconds(10);
  EXPECT_EQ(progress.Line(now), "1/4 samples, 40 tokens, 4 tokens/s, ETA 0:30");
  EXPECT_EQ(progress.Bar(60, now),
            "[======>                 ] 1/4 samples  4 tokens/s  ETA 0:30");
}

TEST(ProgressTest, TimeLeftIsUnknownBeforeTheFirstSampleEnds) {
  Progress progress(4, kStart);
  progress.Add(Step(1), true);
  EXPECT_EQ(progress.Line(kStart + absl::Seconds(1)),
            "0/4 samples, 1 tokens, 1 tokens/s, ETA –");
}

TEST(ProgressTest, HistoryCountsAsDoneButNotForTheSpeed) {
  Progress progress(4, kStart);
  for (int i = 1; i <= 10; ++i) progress.Add(Step(i), false);
  progress.Add(Done(11), false);
  progress.Add(Step(12), true);
  progress.Add(Done(13), true);
  const absl::Time now = kStart + absl::Seconds(2);
  EXPECT_EQ(progress.done(), 2);
  EXPECT_DOUBLE_EQ(progress.TokensPerSecond(now), 0.5);
  EXPECT_EQ(progress.Remaining(now), absl::Seconds(4));
}

TEST(ProgressTest, FailedSamplesAreDoneAndNamed) {
  Progress progress(2, kStart);
  progress.Add(Failed(1), true);
  EXPECT_EQ(progress.Line(kStart + absl::Seconds(3725)),
            "1/2 samples, 1 failed, 0 tokens, 0 tokens/s, ETA 1:02:05");
}

TEST(ProgressTest, NeverExceedsTheWidth) {
  Progress progress(1234, kStart);
  for (int i = 1; i <= 500; ++i) progress.Add(Done(i), true);
  const absl::Time now = kStart + absl::Seconds(9);
  for (int columns = 0; columns < 130; ++columns) {
    EXPECT_LE(DisplayWidth(progress.Bar(columns, now)), columns);
  }
  EXPECT_EQ(progress.Bar(5, now), "");
  EXPECT_EQ(progress.Bar(20, now), "500/1234 samples");
}

TEST(ProgressTest, MoreSamplesThanAnnouncedRaiseTheTotal) {
  Progress progress(0, kStart);
  progress.Add(Done(1), true);
  EXPECT_EQ(progress.total(), 1);
  EXPECT_EQ(progress.Remaining(kStart), absl::ZeroDuration());
}

class ProgressDisplayTest : public testing::Test {
 protected:
  Environment MakeEnvironment(bool terminal) {
    Environment environment;
    environment.err = &err_;
    environment.err_is_terminal = terminal;
    environment.err_columns = [] { return 40; };
    return environment;
  }

  std::ostringstream err_;
  absl::Time now_ = kStart;
};

TEST_F(ProgressDisplayTest, RedrawsATerminalAtMostTenTimesASecond) {
  const Environment environment = MakeEnvironment(true);
  ProgressDisplay display(environment, 2, [this] { return now_; });
  for (int i = 1; i <= 1000; ++i) {
    now_ += absl::Milliseconds(1);
    display.Add(Step(i), true);
  }
  const std::string text = err_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 10);
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST_F(ProgressDisplayTest, PlainLinesComeWithSamplesAtMostOneASecond) {
  const Environment environment = MakeEnvironment(false);
  ProgressDisplay display(environment, 3, [this] { return now_; });
  now_ += absl::Seconds(2);
  display.Add(Step(1), true);
  display.Add(Done(2), true);
  display.Add(Done(3), true);
  display.Add(Done(4), true);
  display.Finish();
  EXPECT_EQ(err_.str(),
            "1/3 samples, 1 tokens, 0 tokens/s, ETA 0:04\n"
            "3/3 samples, 1 tokens, 0 tokens/s, ETA 0:00\n");
}

TEST_F(ProgressDisplayTest, AMessageTakesTheBarsPlace) {
  const Environment environment = MakeEnvironment(true);
  ProgressDisplay display(environment, 1, [this] { return now_; });
  display.Message("lost");
  EXPECT_EQ(err_.str(), "\r\x1b[Klost\n");
}

}  // namespace
}  // namespace kvrecall
