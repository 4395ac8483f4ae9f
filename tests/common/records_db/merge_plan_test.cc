#include "common/records_db/merge_plan.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

SourceSample Sample(const std::string& id, int64_t ordinal,
                    SampleState state = SampleState::kDone) {
  SourceSample sample;
  sample.sample_id = id;
  sample.ordinal = ordinal;
  sample.state = state;
  sample.attempt = 1;
  sample.input_digest = "input of " + id;
  if (sample.has_records()) {
    sample.records_digest = "records of " + id;
    sample.events = 10;
  }
  return sample;
}

SourceFile FileOf(const std::string& path, std::vector<SourceSample> samples) {
  SourceRun run;
  run.key = 7;
  run.info.run_id = "run of " + path;
  run.info.config.task = "demo";
  run.info.create_time = absl::FromUnixSeconds(100);
  run.samples = std::move(samples);
  return {path, {std::move(run)}};
}

// "id place file" of each sample of the only run.
std::vector<std::string> Plan(const std::vector<SourceFile>& files) {
  std::vector<std::string> lines;
  const auto runs = PlanMerge(files);
  EXPECT_TRUE(runs.ok()) << runs.status();
  if (!runs.ok()) return lines;
  EXPECT_THAT(*runs, SizeIs(1));
  for (const PlannedSample& sample : runs->at(0).samples)
    lines.push_back(absl::StrCat(sample.source.sample_id, " ",
                                 sample.source.ordinal, " ", sample.file));
  return lines;
}

std::string Refusal(const std::vector<SourceFile>& files) {
  const auto runs = PlanMerge(files);
  EXPECT_TRUE(absl::IsInvalidArgument(runs.status())) << runs.status();
  return std::string(runs.status().message());
}

TEST(MergePlanTest, SamplesStandInTheStudysOrder) {
  EXPECT_THAT(Plan({FileOf("a", {Sample("x", 2), Sample("z", 9)}),
                    FileOf("b", {Sample("w", 1), Sample("y", 4)})}),
              ElementsAre("w 1 1", "x 2 0", "y 4 1", "z 9 0"));
}

TEST(MergePlanTest, WhosePlaceIsTakenComesBehind) {
  EXPECT_THAT(Plan({FileOf("a", {Sample("x", 1), Sample("y", 2)}),
                    FileOf("b", {Sample("v", 1), Sample("w", 2)})}),
              ElementsAre("x 1 0", "y 2 0", "v 3 1", "w 4 1"));
}

TEST(MergePlanTest, TheBetterOfTwoIsTakenAndKeepsThePlace) {
  SourceSample copy = Sample("x", 5);
  copy.is_reused = true;
  const std::vector<std::pair<SourceSample, SourceSample>> worse_and_better = {
      {Sample("x", 5, SampleState::kQueued), Sample("x", 9)},
      {Sample("x", 5, SampleState::kRunning),
       Sample("x", 9, SampleState::kFailed)},
      {Sample("x", 5, SampleState::kCancelled), copy},
      {Sample("x", 5, SampleState::kFailed), Sample("x", 9)},
      {Sample("x", 5, SampleState::kFailed), copy},
      {copy, Sample("x", 9)},
  };
  for (const auto& [worse, better] : worse_and_better) {
    EXPECT_THAT(Plan({FileOf("a", {worse}), FileOf("b", {better})}),
                ElementsAre("x 5 1"));
    EXPECT_THAT(Plan({FileOf("b", {better}), FileOf("a", {worse})}),
                ElementsAre(absl::StrCat("x ", better.ordinal, " 0")));
  }
  const SourceSample done = Sample("x", 5);
  EXPECT_THAT(Plan({FileOf("a", {done}), FileOf("b", {done})}),
              ElementsAre("x 5 0"));
}

TEST(MergePlanTest, RepeatedSamplesAreCounted) {
  const SourceFile file = FileOf("a", {Sample("x", 1), Sample("y", 2)});
  EXPECT_EQ(PlanMerge({file, file, file})->at(0).repeated, 4);
}

TEST(MergePlanTest, AnotherTextOrOtherRecordsAreRefusedByName) {
  SourceSample other = Sample("x", 1);
  other.input_digest = "something else";
  EXPECT_EQ(Refusal({FileOf("a", {Sample("x", 1)}), FileOf("b", {other})}),
            "sample 'x' of task demo has another text in b than in a");
  other = Sample("x", 1);
  other.records_digest = "something else";
  EXPECT_EQ(Refusal({FileOf("a", {Sample("x", 1)}), FileOf("b", {other})}),
            "sample 'x' of task demo has other records in b than in a");
  // Why a sample failed may be said in other words.
  other.state = SampleState::kFailed;
  EXPECT_THAT(Plan({FileOf("a", {Sample("x", 1, SampleState::kFailed)}),
                    FileOf("b", {other})}),
              ElementsAre("x 1 0"));
}

TEST(MergePlanTest, RunsMadeDifferentlyAreRefusedWithWhatDiffers) {
  SourceFile other = FileOf("b", {Sample("y", 2)});
  other.runs[0].info.provenance.threads = 8;
  const std::string words = Refusal({FileOf("a", {Sample("x", 1)}), other});
  EXPECT_THAT(words, HasSubstr("run run of a of a and run run of b of b are of "
                               "task demo and differ in threads (0 and 8)"));
  EXPECT_THAT(words, HasSubstr("--run"));
}

TEST(MergePlanTest, TheEndIsThatOfItsSamples) {
  constexpr auto kDone = SampleState::kDone;
  constexpr auto kFailed = SampleState::kFailed;
  const auto state = [](std::vector<SampleState> states) {
    std::vector<SourceSample> samples;
    for (size_t i = 0; i < states.size(); ++i)
      samples.push_back(
          Sample(absl::StrCat("s", i), static_cast<int64_t>(i) + 1, states[i]));
    return PlanMerge({FileOf("a", samples)})->at(0).info.state;
  };
  EXPECT_EQ(state({kDone, kDone}), RunState::kSucceeded);
  EXPECT_EQ(state({kFailed, kDone}), RunState::kPartiallyFailed);
  EXPECT_EQ(state({kFailed}), RunState::kFailed);
  EXPECT_EQ(state({kDone, SampleState::kCancelled}), RunState::kCancelled);
  EXPECT_EQ(state({kDone, SampleState::kQueued}), RunState::kCancelled);
  EXPECT_EQ(state({}), RunState::kSucceeded);
}

TEST(MergePlanTest, ANameIsKeptOrFollowsFromTheStudyAlone) {
  const SourceFile a = FileOf("a", {Sample("x", 1)});
  const SourceFile b = FileOf("b", {Sample("y", 2)});
  EXPECT_EQ(PlanMerge({a})->at(0).info.run_id, "run of a");
  const std::string joined = PlanMerge({a, b})->at(0).info.run_id;
  EXPECT_EQ(joined.size(), 26u);
  EXPECT_EQ(PlanMerge({b, a})->at(0).info.run_id, joined);
  SourceFile c = a, d = b;
  c.runs[0].info.config.task = d.runs[0].info.config.task = "other";
  EXPECT_NE(PlanMerge({c, d})->at(0).info.run_id, joined);
}

TEST(MergePlanTest, AnOwnerIsNamedWhereAllIsHis) {
  SourceFile a = FileOf("a", {}), b = FileOf("b", {});
  a.runs[0].info.owner = b.runs[0].info.owner = "ada";
  EXPECT_EQ(PlanMerge({a, b})->at(0).info.owner, "ada");
  b.runs[0].info.owner = "bob";
  EXPECT_EQ(PlanMerge({a, b})->at(0).info.owner, "");
}

}  // namespace
}  // namespace kvrecall
