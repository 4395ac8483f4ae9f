#include "common/records_db/records_digest.h"

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

StepRecord FullStep() {
  StepRecord step;
  step.step = 1;
  step.n = 2;
  step.token = "x";
  step.recalls.resize(2);
  step.recalls[0].lift = 0.5;
  step.recalls[0].layer_recalls = {0.5f};
  step.recalls[0].lost = {{3, 0.5f, "a"}};
  step.gaps.resize(1);
  return step;
}

std::string DigestOf(const std::vector<Event>& events) {
  RecordsDigest digest;
  for (const Event& event : events) digest.Add(event);
  return digest.HexDigest();
}

std::vector<Event> Sample() {
  SampleResult result;
  result.generated_tokens = 1;
  result.score = 0.5;
  return {
      {1, "s", 1, SampleStart{}}, {2, "s", 1, FullStep()}, {3, "s", 1, result}};
}

TEST(RecordsDigestTest, TimesNumbersAndNamesDoNotCount) {
  std::vector<Event> other = Sample();
  for (Event& event : other) {
    event.sequence += 100;
    event.sample_id = "another";
    event.attempt = 2;
  }
  std::get<SampleStart>(other[0].body).queue_seconds = 7;
  std::get<SampleStart>(other[0].body).reused_from = "a run";
  std::get<SampleResult>(other[2].body).prefill_seconds = 7;
  std::get<SampleResult>(other[2].body).decode_seconds = 7;
  std::get<StepRecord>(other[1].body).entropy = -0.0;  // kept as 0
  EXPECT_EQ(DigestOf(other), DigestOf(Sample()));
}

TEST(RecordsDigestTest, EverythingElseCounts) {
  const auto step = [](auto change) {
    return [change](std::vector<Event>& events) {
      change(std::get<StepRecord>(events[1].body));
    };
  };
  const std::vector<std::function<void(std::vector<Event>&)>> changes = {
      [](auto& e) { ++std::get<SampleStart>(e[0].body).prompt_tokens; },
      [](auto& e) { ++std::get<SampleStart>(e[0].body).raw_prompt_tokens; },
      [](auto& e) { std::get<SampleStart>(e[0].body).truncated = true; },
      [](auto& e) { ++std::get<SampleStart>(e[0].body).length; },
      [](auto& e) { ++std::get<SampleResult>(e[2].body).generated_tokens; },
      [](auto& e) { std::get<SampleResult>(e[2].body).text = "t"; },
      [](auto& e) { std::get<SampleResult>(e[2].body).score.reset(); },
      [](auto& e) { std::get<SampleResult>(e[2].body).gap_scores = {0.5}; },
      [](auto& e) {
        std::get<SampleResult>(e[2].body).finish_reason = FinishReason::kEos;
      },
      [](auto& e) { e.erase(e.begin() + 1); },
      [](auto& e) {
        e[2].body = SampleFailure{"A", "b"};
      },
      step([](StepRecord& s) { ++s.step; }),
      step([](StepRecord& s) { ++s.n; }),
      step([](StepRecord& s) { ++s.token_id; }),
      step([](StepRecord& s) { s.token = "y"; }),
      step([](StepRecord& s) { s.entropy = 1e-300; }),
      step([](StepRecord& s) { s.logprob = 1; }),
      step([](StepRecord& s) { s.p_max = 1; }),
      step([](StepRecord& s) { s.margin = 1; }),
      step([](StepRecord& s) { s.attention_entropy = 1; }),
      step([](StepRecord& s) { s.attention_entropy_std = 1; }),
      step([](StepRecord& s) { s.recalls.pop_back(); }),
      step([](StepRecord& s) { ++s.recalls[1].k; }),
      step([](StepRecord& s) { s.recalls[1].recall = 1; }),
      step([](StepRecord& s) { s.recalls[1].chance = 1; }),
      step([](StepRecord& s) { s.recalls[0].lift.reset(); }),
      step([](StepRecord& s) { s.recalls[0].lift = 0; }),
      step([](StepRecord& s) { s.recalls[1].mass = 1; }),
      step([](StepRecord& s) { s.recalls[1].mass_ratio = 1; }),
      step([](StepRecord& s) { s.recalls[1].recall_without_free_hits = 1; }),
      step([](StepRecord& s) { s.recalls[1].drift = 1; }),
      step([](StepRecord& s) { s.recalls[1].fetched_back = 1; }),
      step([](StepRecord& s) { s.recalls[0].layer_recalls[0] = 1; }),
      step([](StepRecord& s) { ++s.recalls[0].lost[0].position; }),
      step([](StepRecord& s) { s.recalls[0].lost[0].weight = 1; }),
      step([](StepRecord& s) { s.recalls[0].lost[0].token = "b"; }),
      step([](StepRecord& s) { s.gaps[0].kl = 1; }),
      step([](StepRecord& s) { s.gaps[0].entropy_change = 1; }),
      step([](StepRecord& s) { s.gaps[0].logprob_change = 1; }),
      step([](StepRecord& s) { ++s.gaps[0].token_id; }),
      step([](StepRecord& s) { s.gaps[0].top1_agrees = true; }),
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    std::vector<Event> other = Sample();
    changes[i](other);
    EXPECT_NE(DigestOf(other), DigestOf(Sample())) << "change " << i;
  }
}

}  // namespace
}  // namespace kvrecall
