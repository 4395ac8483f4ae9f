#pragma once

// Runs with known properties for the tests of the analysis.

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

#include "common/analysis/run_table.h"

namespace kvrecall {

inline RunConfig PlantedConfig(const char* policies, const char* scopes,
                               const char* budgets) {
  RunConfig config;
  config.task = "demo";
  config.policies = *ParsePolicySpecs(policies);
  config.scopes = *ParseScopes(scopes);
  config.budgets = *ParseBudgets(budgets);
  return config;
}

// What a planted run says of a step: entropy, and recall at each lane.
struct Planted {
  double entropy = 0;
  std::vector<double> recall;
};

// Makes one step of a sample; called for each in turn.
using Plant = std::function<Planted(int sample, int step, std::mt19937_64&)>;

// Samples "sample-1000", … of so many steps each; every second one is scored 1,
// the others 0.
inline RunTable MakeRun(const RunConfig& config, int samples, int steps,
                        const Plant& plant) {
  RunTableBuilder builder(config);
  std::mt19937_64 generator(99);
  Event event;
  for (int s = 0; s < samples; ++s) {
    event.sample_id = absl::StrCat("sample-", 1000 + s);
    for (int t = 1; t <= steps; ++t) {
      const Planted planted = plant(s, t, generator);
      StepRecord record;
      record.step = t;
      record.n = 500 + t;
      record.token = absl::StrCat(" ", t);
      record.entropy = planted.entropy;
      record.p_max = 1 / (1 + planted.entropy);
      record.margin = record.p_max / 2;
      record.attention_entropy = 2;
      for (const double recall : planted.recall)
        record.recalls.emplace_back().recall = std::clamp(recall, 0.0, 1.0);
      record.gaps.resize(config.gaps.size());
      for (GapRecord& gap : record.gaps) {
        gap.kl = planted.entropy / 10;
        gap.logprob_change = -planted.entropy;
      }
      event.body = record;
      EXPECT_TRUE(builder.Add(event).ok());
    }
    SampleResult result;
    result.score = s % 2;
    event.body = result;
    EXPECT_TRUE(builder.Add(event).ok());
  }
  auto table = builder.Build();
  EXPECT_TRUE(table.ok()) << table.status();
  return *std::move(table);
}

inline double Normal(std::mt19937_64& generator) {
  return std::normal_distribution<double>()(generator);
}
inline double Entropy(std::mt19937_64& generator) {
  return std::gamma_distribution<double>(1.2, 1.0)(generator);
}

}  // namespace kvrecall
