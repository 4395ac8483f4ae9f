#include "client/render/transfer_progress.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/render/text_table.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const absl::Time kStart = absl::FromUnixSeconds(1000);

TEST(BytesTextTest, HasOneDecimalAndPowersOfAThousand) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(999), "999 B");
  EXPECT_EQ(BytesText(1000), "1.0 kB");
  EXPECT_EQ(BytesText(385'949), "385.9 kB");
  EXPECT_EQ(BytesText(999'949), "999.9 kB");
  EXPECT_EQ(BytesText(999'951), "1.0 MB");
  EXPECT_EQ(BytesText(INT64_MAX), "9223372.0 TB");
}

TEST(TransferProgressTest, ShowsBytesRateAndTimeLeft) {
  TransferProgress progress(/*done=*/0, kStart);
  progress.Set(10'000'000, 100'000'000, kStart + absl::Seconds(2));
  EXPECT_EQ(progress.BytesPerSecond(), 5e6);
  EXPECT_EQ(progress.Remaining(), absl::Seconds(18));
  EXPECT_EQ(
      progress.Bar(79),
      "[===>                                 ] 10.0 MB of 100.0 MB  5.0 MB/s  "
      "ETA 0:18");
}

TEST(TransferProgressTest, WhatWasThereBeforeSaysNothingAboutTheRate) {
  TransferProgress progress(/*done=*/90'000'000, kStart);
  progress.Set(91'000'000, 100'000'000, kStart + absl::Seconds(1));
  EXPECT_EQ(progress.BytesPerSecond(), 1e6);
  EXPECT_EQ(progress.Remaining(), absl::Seconds(9));
}

TEST(TransferProgressTest, AStartAllOverIsNoNegativeRate) {
  TransferProgress progress(/*done=*/90'000'000, kStart);
  progress.Set(1'000'000, 100'000'000, kStart + absl::Seconds(5));
  EXPECT_EQ(progress.BytesPerSecond(), 0);
  EXPECT_EQ(progress.Remaining(), std::nullopt);
  progress.Set(2'000'000, 100'000'000, kStart + absl::Seconds(6));
  EXPECT_EQ(progress.BytesPerSecond(), 1e6);
}

TEST(TransferProgressTest, WithoutATotalThereIsNeitherBarNorEta) {
  TransferProgress progress(/*done=*/0, kStart);
  progress.Set(2'000'000, 0, kStart + absl::Seconds(1));
  EXPECT_EQ(progress.Bar(79), "2.0 MB  2.0 MB/s");
}

TEST(TransferProgressTest, NeverWiderThanTheTerminal) {
  TransferProgress progress(/*done=*/0, kStart);
  progress.Set(10'000'000, 100'000'000, kStart + absl::Seconds(2));
  for (int columns = 1; columns < 100; ++columns) {
    EXPECT_LE(DisplayWidth(progress.Bar(columns)), columns);
  }
}

class TransferDisplayTest : public testing::Test {
 protected:
  void SetUp() override {
    environment_.err = &err_;
    environment_.err_columns = [] { return 60; };
  }

  std::ostringstream err_;
  Environment environment_;
  absl::Time now_ = kStart;
};

TEST_F(TransferDisplayTest, DrawsAtMostTenTimesASecondAndTheLastState) {
  environment_.err_is_terminal = true;
  TransferDisplay display(environment_, 0, [&] { return now_; });
  for (int i = 1; i <= 10; ++i) {
    display.Set(i, 100);
    now_ += absl::Milliseconds(50);
  }
  const std::string drawn = err_.str();
  EXPECT_EQ(std::count(drawn.begin(), drawn.end(), '\r'), 5);
  display.Finish();
  EXPECT_THAT(err_.str(), StartsWith(drawn));
  EXPECT_THAT(err_.str(), HasSubstr("10 B of 100 B"));
  EXPECT_EQ(err_.str().back(), '\n');
}

TEST_F(TransferDisplayTest, ElsewhereItIsSilentButForMessages) {
  TransferDisplay display(environment_, 0, [&] { return now_; });
  display.Set(50, 100);
  display.Message("starting over");
  display.Set(100, 100);
  display.Finish();
  EXPECT_EQ(err_.str(), "starting over\n");
}

}  // namespace
}  // namespace kvrecall
