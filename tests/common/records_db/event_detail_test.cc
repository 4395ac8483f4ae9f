#include "common/records_db/event_detail.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

// Every kind comes back equal, with and without its optional fields.
TEST(EventDetailTest, RoundTrip) {
  const std::vector<EventBody> bodies = {
      SampleStart{123, 456, true, 0.1 + 0.2},
      SampleStart{},
      SampleResult{7, "tea ☕ \"x\"\n", 1.0 / 3, FinishReason::kEos, 1e-9,
                   5e-324},
      SampleResult{1, "", std::nullopt, FinishReason::kLength, -0.0, 1e300},
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
  EXPECT_TRUE(absl::IsInvalidArgument(ParseRunState("done").status()));
}

}  // namespace
}  // namespace kvrecall
