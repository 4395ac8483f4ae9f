#include "common/record/run_difference.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunInfo StudyRun() {
  RunInfo run;
  run.config.task = "demo";
  run.config.policies = {{"h2o", {}}};
  run.config.scopes = {Scope::kGlobal};
  run.config.budgets = {{Budget::Kind::kCurrentRatio, 0.1}};
  run.config.max_new_tokens = 32;
  run.provenance.model = "nano";
  run.provenance.model_digest = "abc";
  run.provenance.threads = 2;
  run.provenance.prompt_template = std::string(500, 'x');
  return run;
}

TEST(RunDifferenceTest, WhoWhenAndHowManyDoNotCount) {
  RunInfo other = StudyRun();
  other.run_id = "another";
  other.owner = "somebody";
  other.state = RunState::kCancelled;
  other.samples_submitted = 7;
  other.provenance.model = "/scratch/node7/nano";  // the same digest
  EXPECT_EQ(RunDifference(StudyRun(), other), "");
  EXPECT_EQ(StudyDigest(StudyRun()), StudyDigest(other));
}

TEST(RunDifferenceTest, EverythingThatNumbersFollowFromCounts) {
  const std::vector<std::pair<std::string, std::function<void(RunInfo&)>>>
      changes = {
          {"task (demo and other)", [](auto& r) { r.config.task = "other"; }},
          {"policies ([\"h2o\"] and [\"tova\"])",
           [](auto& r) {
             r.config.policies = {{"tova", {}}};
           }},
          {"budgets ([\"0.1\"] and [\"0.1\",\"0.2\"])",
           [](auto& r) {
             r.config.budgets.push_back({Budget::Kind::kCurrentRatio, 0.2});
           }},
          {"max_new_tokens (32 and 33)",
           [](auto& r) { r.config.max_new_tokens = 33; }},
          {"force (none and gold)",
           [](auto& r) { r.config.force = Force::kGold; }},
          {"threads (2 and 4)", [](auto& r) { r.provenance.threads = 4; }},
          {"kernels (none and avx2)",
           [](auto& r) { r.provenance.kernels = "avx2"; }},
          {"model (nano and big), model_digest (abc and def)",
           [](auto& r) {
             r.provenance.model = "big";
             r.provenance.model_digest = "def";
           }},
      };
  for (const auto& [expected, change] : changes) {
    RunInfo other = StudyRun();
    change(other);
    EXPECT_EQ(RunDifference(StudyRun(), other), expected);
    EXPECT_NE(StudyDigest(StudyRun()), StudyDigest(other)) << expected;
  }
}

TEST(RunDifferenceTest, WhatFollowsFromTheConfigurationIsNotToldTwice) {
  RunInfo other = StudyRun();
  other.config.policies = {{"tova", {}}};
  other.provenance.policies = {"tova()"};
  EXPECT_EQ(RunDifference(StudyRun(), other),
            "policies ([\"h2o\"] and [\"tova\"])");
}

TEST(RunDifferenceTest, LongValuesAreCut) {
  RunInfo other = StudyRun();
  other.provenance.prompt_template = "a\nb";
  const std::string words = RunDifference(StudyRun(), other);
  EXPECT_THAT(words, HasSubstr("xxx… and a\\nb)"));
  EXPECT_LT(words.size(), 200u);
  EXPECT_THAT(words, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace kvrecall
