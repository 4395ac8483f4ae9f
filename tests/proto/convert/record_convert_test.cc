#include "proto/convert/record_convert.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

StepRecord RandomStep(std::mt19937_64& random) {
  std::uniform_real_distribution<double> real(0, 1);
  StepRecord step;
  step.step = static_cast<int64_t>(random() >> 20);
  step.n = static_cast<int64_t>(random() >> 20);
  step.token_id = static_cast<int64_t>(random() % 152064);
  step.token = std::string(" caf\xC3\xA9\n") + std::to_string(random());
  step.entropy = real(random) * 11.9;
  step.logprob = -real(random);
  step.p_max = real(random);
  step.margin = real(random);
  step.attention_entropy = real(random);
  step.attention_entropy_std = real(random);
  for (int lane = 0; lane < 6; ++lane) {
    RecallRecord recall;
    recall.k = static_cast<int64_t>(random() % 1000) + 1;
    recall.recall = real(random);
    recall.chance = real(random);
    if (lane % 2) recall.lift = real(random) - 0.5;
    recall.mass = real(random);
    recall.mass_ratio = real(random);
    if (lane % 3) recall.recall_without_free_hits = real(random);
    if (lane > 2) recall.drift = real(random);
    if (lane == 5) recall.fetched_back = real(random) * 40;
    for (int layer = 0; layer < lane; ++layer)
      recall.layer_recalls.push_back(static_cast<float>(real(random)));
    for (int lost = 0; lost < lane % 5; ++lost)
      recall.lost.push_back({static_cast<int64_t>(random() % 30000),
                             static_cast<float>(real(random)), " caf\xC3\xA9"});
    step.recalls.push_back(recall);
  }
  for (int lane = 0; lane < 3; ++lane) {
    GapRecord gap;
    gap.kl = real(random);
    gap.entropy_change = real(random) - 0.5;
    gap.logprob_change = real(random) - 1;
    gap.token_id = static_cast<int64_t>(random() % 152064);
    gap.top1_agrees = lane % 2 == 0;
    step.gaps.push_back(gap);
  }
  return step;
}

// Through the wire format, so that what the encoding drops is noticed too.
Event RoundTrip(const Event& event) {
  v1::Event parsed;
  EXPECT_TRUE(parsed.ParseFromString(ToProto(event).SerializeAsString()));
  absl::StatusOr<Event> back = FromProto(parsed);
  EXPECT_TRUE(back.ok()) << back.status();
  return back.value_or(Event());
}

TEST(RecordConvertTest, StepsSurviveTheWireBitForBit) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100; ++i) {
    const Event event{i + 1, "sample", i % 3 + 1, RandomStep(random)};
    EXPECT_EQ(RoundTrip(event), event);
  }
}

TEST(RecordConvertTest, EveryOtherKindSurvivesTheWire) {
  const SampleStart start{31000, 40000, true, 1.5, 12345, "run"};
  EXPECT_EQ(RoundTrip({1, "a", 1, start}), (Event{1, "a", 1, start}));
  for (FinishReason reason : {FinishReason::kEos, FinishReason::kLength}) {
    SampleResult result{7, "two words", std::nullopt, {}, reason, 2.5, 0.25};
    EXPECT_EQ(RoundTrip({2, "a", 2, result}), (Event{2, "a", 2, result}));
    result.score = 0;  // a score of 0 is not an absent one
    result.gap_scores = {0, 0.1, 1};
    EXPECT_EQ(RoundTrip({3, "a", 2, result}), (Event{3, "a", 2, result}));
  }
  const SampleFailure failure{"GPU_OOM", "no memory"};
  EXPECT_EQ(RoundTrip({4, "a", 1, failure}), (Event{4, "a", 1, failure}));
  for (RunState state :
       {RunState::kQueued, RunState::kRunning, RunState::kSucceeded,
        RunState::kPartiallyFailed, RunState::kFailed, RunState::kCancelled}) {
    const RunEnd end{state, 5, 6};
    EXPECT_EQ(RoundTrip({5, "", 1, end}), (Event{5, "", 1, end}));
  }
}

TEST(RecordConvertTest, ZeroIsNotAnAbsentNumber) {
  StepRecord step;
  RecallRecord& recall = step.recalls.emplace_back();
  recall.lift = recall.recall_without_free_hits = 0;
  recall.drift = recall.fetched_back = 0;
  const Event event{1, "a", 1, step};
  EXPECT_EQ(RoundTrip(event), event);
}

TEST(RecordConvertTest, NonFiniteNumbersAreKeptForTheReaderToSee) {
  StepRecord step;
  step.entropy = std::numeric_limits<double>::infinity();
  step.logprob = std::numeric_limits<double>::quiet_NaN();
  const Event event = RoundTrip({1, "a", 1, step});
  const StepRecord& back = std::get<StepRecord>(event.body);
  EXPECT_TRUE(std::isinf(back.entropy));
  EXPECT_TRUE(std::isnan(back.logprob));
}

TEST(RecordConvertTest, AnEventWithoutBodyIsRefusedByName) {
  const absl::Status status = FromProto(v1::Event()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("event.body"));
}

TEST(RecordConvertTest, UnknownEnumerationValuesAreRefusedByName) {
  v1::Event event;
  event.mutable_run_finished()->set_state(static_cast<v1::RunState>(99));
  EXPECT_THAT(std::string(FromProto(event).status().message()),
              HasSubstr("event.run_finished.state: unknown run state 99"));
  event.mutable_sample_finished();
  EXPECT_THAT(std::string(FromProto(event).status().message()),
              HasSubstr("event.sample_finished.finish_reason"));
}

}  // namespace
}  // namespace kvrecall
