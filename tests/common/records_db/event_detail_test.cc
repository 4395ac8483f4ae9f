#include "common/records_db/event_detail.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

// Every kind comes back equal, with and without its optional fields.
TEST(EventDetailTest, RoundTrip) {
  const std::vector<EventBody> bodies = {
      SampleStart{123, 456, true, 0.1 + 0.2, 7, "run"},
      SampleStart{},
      SampleResult{7,
                   "tea ☕ \"x\"\n",
                   1.0 / 3,
                   {0, 2.0 / 3, 1},
                   FinishReason::kEos,
                   1e-9,
                   5e-324},
      SampleResult{1, "", std::nullopt, {}, FinishReason::kLength, -0.0, 1e300},
      SampleFailure{"OUT_OF_MEMORY", "no room for 3 GiB"},
      RunEnd{RunState::kPartiallyFailed, 3, 4},
      RunEnd{RunState::kCancelled, 0, 0}};
  for (const EventBody& body : bodies) {
    const auto back =
        EventDetailFromJson(EventKind(body), EventDetailToJson(body));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, body) << EventDetailToJson(body);
  }
}

// What a program wrote that did not know of gap lanes.
TEST(EventDetailTest, AResultWithoutGapScoresHasNone) {
  const auto body = EventDetailFromJson(
      "sample_finished",
      R"({"generated_tokens":2,"text":"t","score":0.5,"finish_reason":"eos",)"
      R"("prefill_seconds":1,"decode_seconds":2})");
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(std::get<SampleResult>(*body),
            (SampleResult{2, "t", 0.5, {}, FinishReason::kEos, 1, 2}));
}

TEST(EventDetailTest, NumbersComeBackBitForBit) {
  for (const std::vector<double>& numbers :
       {std::vector<double>{}, {0.1 + 0.2, -1.0 / 3, 5e-324, 1}}) {
    const auto back = NumbersFromJson(NumbersToJson(numbers));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, numbers);
  }
  for (const char* text : {"", "1", "[1,", "[\"1\"]", "{}"})
    EXPECT_TRUE(absl::IsInvalidArgument(NumbersFromJson(text).status()))
        << text;
}

TEST(EventDetailTest, BytesThatAreNotUtf8AreReplaced) {
  const EventBody body = SampleFailure{"X", "a\xff z"};
  const auto back =
      EventDetailFromJson(EventKind(body), EventDetailToJson(body));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(std::get<SampleFailure>(*back).message, "a\uFFFD z");
}

TEST(EventDetailTest, WhatDoesNotFitIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      EventDetailFromJson("sample_paused", "{}").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      EventDetailFromJson("sample_failed", "{\"reason\": 3}").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      EventDetailFromJson("run_finished", "{").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      EventDetailFromJson("run_finished",
                          R"({"state":"failed","samples_done":1e300,)"
                          R"("samples_failed":0})")
          .status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseRunState("done").status()));
}

}  // namespace
}  // namespace kvrecall
