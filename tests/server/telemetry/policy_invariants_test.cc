// What must be true of every policy whatever it scores by.

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gtest/gtest.h>

#include "tests/reference/policy_reference.h"
#include "tests/reference/text_history.h"
#include "tests/server/telemetry/telemetry_testing.h"

namespace kvrecall {
namespace {

constexpr char kPolicies[] =
    "h2o,h2o(self=0),h2o_window(w=4),h2o_mean,h2o_evict,streaming,"
    "snapkv(w=3,kernel=3),tova,pyramidkv(w=3,kernel=3),knorm,keydiff,random,"
    "h2o_evict@entropy(2),h2o_evict@periodic(3),h2o_evict@random(0.5),"
    "tova@entropy(2),tova@periodic(3),tova@random(0.5),oracle";
constexpr char kBudgets[] = "0.05,0.2,0.5,1,tokens:1,tokens:20,prompt:0.3";
constexpr uint64_t kSampleKey = 42;

RunConfig AllPoliciesConfig() {
  return PoliciesConfig(kPolicies, kBudgets,
                        {Scope::kGlobal, Scope::kLayer, Scope::kHead});
}

// One of some texts from 1 to 70 positions, with ties in every other.
TextHistory Text(uint64_t seed) {
  RandomTextOptions options;
  options.seed = seed;
  options.layers = 3;
  options.groups = 2;
  options.positions = 1 + static_cast<int64_t>(seed * 29 % 70);
  options.prompt =
      std::max<int64_t>(1, options.positions - static_cast<int64_t>(seed % 9));
  options.levels = seed % 2 == 0 ? 3 : 1024;
  return RandomText(options);
}

class InvariantsTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kTexts = 40;

  const PolicySpec& Spec(size_t lane) const {
    return config_.policies[lanes_[lane].policy];
  }
  Scope ScopeOf(size_t lane) const {
    return config_.scopes[lanes_[lane].scope];
  }
  // The lane's scope and budget, to find its kin.
  std::pair<int, int> Place(size_t lane) const {
    return {lanes_[lane].scope, lanes_[lane].budget};
  }
  std::string Where(size_t lane, int64_t step) const {
    return absl::StrCat(
        Spec(lane).ToString(), ", ", std::string(ScopeName(ScopeOf(lane))),
        ", ", config_.budgets[lanes_[lane].budget].ToString(), ", step ", step);
  }

  const RunConfig config_ = AllPoliciesConfig();
  const std::vector<Lane> lanes_ = Lanes(config_);
};

TEST_F(InvariantsTest, EveryRowHoldsItsBudgetAndPyramidLayersShareTheirs) {
  for (uint64_t seed = 0; seed < kTexts; ++seed) {
    const TextHistory text = Text(seed);
    TelemetryRun run(config_, text, kSampleKey);
    while (run.step() < text.steps()) {
      const StepRecord record = run.Next();
      for (size_t i = 0; i < lanes_.size(); ++i) {
        const int64_t k =
            BudgetSlowly(config_.budgets[lanes_[i].budget],
                         text.prompt - 1 + run.step(), text.prompt);
        ASSERT_EQ(record.recalls[i].k, k);
        at::Tensor counts = run.Held(i).sum(1);
        at::Tensor budgets = at::full_like(counts, k);
        if (Spec(i).name == "pyramidkv") {
          counts = counts.view({text.layers, -1}).sum(0);
          budgets = at::full_like(counts, text.layers * k);
        }
        ASSERT_TRUE(at::equal(counts, budgets))
            << Where(i, run.step()) << ": " << counts << " instead of " << k;
      }
    }
  }
}

TEST_F(InvariantsTest, TheStepsOwnPositionIsHeldWhereThePolicyForcesIt) {
  for (uint64_t seed = 0; seed < kTexts; ++seed) {
    const TextHistory text = Text(seed);
    TelemetryRun run(config_, text, kSampleKey);
    while (run.step() < text.steps()) {
      run.Next();
      for (size_t i = 0; i < lanes_.size(); ++i) {
        if (Spec(i).name == "oracle" || Spec(i).ToString() == "h2o(self=0)")
          continue;
        ASSERT_TRUE(run.Held(i).select(1, -1).all().item<bool>())
            << Where(i, run.step());
      }
    }
  }
}

TEST_F(InvariantsTest, WhatAnIrreversiblePolicyDropsNeverComesBack) {
  for (uint64_t seed = 0; seed < kTexts; ++seed) {
    const TextHistory text = Text(seed);
    TelemetryRun run(config_, text, kSampleKey);
    std::map<size_t, at::Tensor> lost;  // by lane
    while (run.step() < text.steps()) {
      run.Next();
      const int64_t n = text.prompt - 1 + run.step();
      for (size_t i = 0; i < lanes_.size(); ++i) {
        if (Spec(i).trigger ||
            (Spec(i).name != "h2o_evict" && Spec(i).name != "tova"))
          continue;
        const at::Tensor held = run.Held(i);
        if (lost.count(i) > 0) {
          ASSERT_FALSE((held.narrow(1, 0, n - 1) & lost[i]).any().item<bool>())
              << Where(i, run.step());
        }
        lost[i] = held.logical_not();
      }
    }
    EXPECT_FALSE(lost.empty());
  }
}

TEST_F(InvariantsTest, TwoRunsGiveTheSameSetsAndRecords) {
  for (uint64_t seed = 0; seed < kTexts; seed += 4) {
    const TextHistory text = Text(seed);
    TelemetryRun first(config_, text, kSampleKey);
    TelemetryRun second(config_, text, kSampleKey);
    while (first.step() < text.steps()) {
      ASSERT_EQ(first.Next(), second.Next());
      for (size_t i = 0; i < lanes_.size(); ++i)
        ASSERT_TRUE(at::equal(first.Held(i), second.Held(i)))
            << Where(i, first.step());
    }
  }
}

// Of two texts that differ in all that their last step brings alone: its row,
// its entropy and its key.
TEST_F(InvariantsTest, TheStepsOwnRowEntropyAndKeyChangeNoSet) {
  int64_t oracles_that_changed = 0;
  for (uint64_t seed = 0; seed < kTexts; ++seed) {
    const TextHistory text = Text(seed);
    TextHistory other = text;
    for (int64_t l = 0; l < text.layers; ++l)
      for (int64_t g = 0; g < text.groups; ++g) {
        std::vector<double>& row = other.attention[l][g].back();
        for (double& weight : row) weight = 1.0 / 64 - weight;
        for (double& x : other.keys[l][g].back()) x = -8 * x;
      }
    other.entropies.back() = 4 - other.entropies.back();
    TelemetryRun run(config_, text, kSampleKey);
    TelemetryRun another(config_, other, kSampleKey);
    while (run.step() < text.steps()) {
      run.Next();
      another.Next();
    }
    for (size_t i = 0; i < lanes_.size(); ++i) {
      const bool same = at::equal(run.Held(i), another.Held(i));
      if (Spec(i).name == "oracle") {
        oracles_that_changed += !same;
      } else {
        ASSERT_TRUE(same) << Where(i, run.step());
      }
    }
  }
  EXPECT_GT(oracles_that_changed, 0) << "the other row says nothing else";
}

TEST_F(InvariantsTest, NoPolicyRecallsMoreThanTheOracle) {
  for (uint64_t seed = 0; seed < kTexts; ++seed) {
    const TextHistory text = Text(seed);
    TelemetryRun run(config_, text, kSampleKey);
    while (run.step() < text.steps()) {
      const StepRecord record = run.Next();
      std::map<std::pair<int, int>, const RecallRecord*> oracles;
      for (size_t i = 0; i < lanes_.size(); ++i)
        if (Spec(i).name == "oracle") oracles[Place(i)] = &record.recalls[i];
      for (size_t i = 0; i < lanes_.size(); ++i) {
        const RecallRecord& oracle = *oracles.at(Place(i));
        ASSERT_EQ(oracle.recall, 1);
        ASSERT_EQ(oracle.mass_ratio, 1);
        ASSERT_LE(record.recalls[i].recall, oracle.recall)
            << Where(i, run.step());
        // PyramidKV holds more than K in the lower layers.
        if (Spec(i).name == "pyramidkv") continue;
        ASSERT_LE(record.recalls[i].mass, oracle.mass * (1 + 1e-9))
            << Where(i, run.step());
      }
    }
  }
}

TEST(RandomPolicyChanceTest, MeanRecallOver200SeedsIsWithin4ErrorsOfChance) {
  constexpr int kSeeds = 200;
  std::vector<std::string> policies;
  for (int seed = 0; seed < kSeeds; ++seed)
    policies.push_back(absl::StrCat("random(seed=", seed, ")"));
  const RunConfig config =
      PoliciesConfig(absl::StrJoin(policies, ","), "0.1,0.3,0.6,tokens:2",
                     {Scope::kGlobal, Scope::kLayer, Scope::kHead});
  const std::vector<Lane> lanes = Lanes(config);
  RandomTextOptions options;
  options.seed = 5;
  options.layers = 3;
  options.groups = 2;
  options.positions = 60;
  options.prompt = 55;
  const TextHistory text = RandomText(options);
  TelemetryRun run(config, text, kSampleKey);
  while (run.step() < text.steps()) {
    const StepRecord record = run.Next();
    std::map<std::pair<int, int>, std::vector<const RecallRecord*>> places;
    for (size_t i = 0; i < lanes.size(); ++i)
      places[{lanes[i].scope, lanes[i].budget}].push_back(&record.recalls[i]);
    for (const auto& [place, recalls] : places) {
      ASSERT_EQ(recalls.size(), static_cast<size_t>(kSeeds));
      double sum = 0, squares = 0;
      for (const RecallRecord* recall : recalls) {
        ASSERT_EQ(recall->chance, recalls[0]->chance);
        sum += recall->recall;
        squares += recall->recall * recall->recall;
      }
      const double mean = sum / kSeeds;
      const double error =
          std::sqrt(std::max(0.0, squares / kSeeds - mean * mean) / kSeeds);
      EXPECT_NEAR(mean, recalls[0]->chance, 4 * error + 1e-12)
          << "scope " << place.first << ", budget " << place.second << ", step "
          << run.step();
    }
  }
}

}  // namespace
}  // namespace kvrecall
