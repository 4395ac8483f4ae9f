#include "common/record/run_id_text.h"

#include <array>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(RunIdTextTest, IsTheTimeAndThenTheDigits) {
  std::array<uint8_t, kRunIdDigits> digits{};
  for (int i = 0; i < kRunIdDigits; ++i) digits[i] = static_cast<uint8_t>(i);
  EXPECT_EQ(RunIdText(0, digits), "00000000000123456789abcdef");
  digits.fill(31);
  EXPECT_EQ(RunIdText(33, digits), "0000000011zzzzzzzzzzzzzzzz");
}

TEST(RunIdTextTest, SortsByTime) {
  std::array<uint8_t, kRunIdDigits> low{}, high{};
  high.fill(31);
  EXPECT_LT(RunIdText(1'700'000'000'000, high),
            RunIdText(1'700'000'000'001, low));
}

}  // namespace
}  // namespace kvrecall
