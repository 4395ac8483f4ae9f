#include "client/export/json_lines.h"

#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

using nlohmann::json;

std::vector<json> Lines(const std::string& text) {
  std::vector<json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(json::parse(line));
  }
  return lines;
}

std::vector<json> Write(const FakeScript& script,
                        std::map<std::string, int64_t> attempts = {}) {
  std::ostringstream out;
  JsonLinesWriter writer(out, script.run, std::move(attempts));
  for (const Event& event : script.events) {
    EXPECT_TRUE(writer.Add(event).ok());
  }
  EXPECT_TRUE(writer.Finish().ok());
  return Lines(out.str());
}

TEST(JsonLinesTest, WritesTheRunThenEachSampleFollowedByItsSteps) {
  const std::vector<json> lines = Write(MakeScript(2, 3));
  ASSERT_EQ(lines.size(), 9u);
  std::string types;
  for (const json& line : lines) {
    types += line["type"].get<std::string>().substr(0, 2) + " ";
  }
  EXPECT_EQ(types, "ru sa st st st sa st st st ");
  EXPECT_EQ(lines[0]["run_id"], "run-1");
  EXPECT_EQ(lines[0]["state"], "succeeded");
  EXPECT_EQ(lines[0]["config"]["task"], "demo");
  EXPECT_EQ(lines[0]["provenance"]["model_digest"], "abc");
  EXPECT_EQ(lines[0]["create_time"], "2023-11-14T22:13:20+00:00");
  EXPECT_TRUE(lines[0]["deadline"].is_null());
  EXPECT_TRUE(lines[0]["held"].is_null());
  RunInfo held = MakeScript(1, 1).run;
  held.held = "threads (2 and 4)";
  EXPECT_EQ(json::parse(RunLine(held))["held"], "threads (2 and 4)");
}

TEST(JsonLinesTest, ASampleLineHasTheSpecifiedFields) {
  const json sample = Write(MakeScript(1, 3))[1];
  EXPECT_EQ(sample["sample_id"], "s1");
  EXPECT_EQ(sample["task"], "demo");
  EXPECT_EQ(sample["prompt_tokens"], 20);
  EXPECT_EQ(sample["generated_tokens"], 3);
  EXPECT_EQ(sample["text"], "text of s1");
  EXPECT_EQ(sample["score"], 1.0);
  EXPECT_EQ(sample["finish_reason"], "eos");
  EXPECT_EQ(sample["state"], "done");
}

TEST(JsonLinesTest, AStepLineHasEveryNumberOfTheRecord) {
  const FakeScript script = MakeScript(1, 2);
  const auto& step = std::get<StepRecord>(script.events[2].body);
  const json line = Write(script)[3];
  EXPECT_EQ(line["sample_id"], "s1");
  EXPECT_EQ(line["step"], 2);
  EXPECT_EQ(line["n"], 21);
  EXPECT_EQ(line["token_id"], 102);
  EXPECT_EQ(line["token"], " t");
  EXPECT_EQ(line["entropy"].get<double>(), step.entropy);
  EXPECT_EQ(line["logprob"].get<double>(), step.logprob);
  EXPECT_EQ(line["p_max"], 0.5);
  EXPECT_EQ(line["margin"], 0.25);
  EXPECT_EQ(line["attention_entropy"], 1.5);
  EXPECT_EQ(line["attention_entropy_std"], 0.25);
  ASSERT_EQ(line["recalls"].size(), 8u);
  const json& first = line["recalls"][0];
  EXPECT_EQ(first["policy"], "h2o");
  EXPECT_EQ(first["scope"], "global");
  EXPECT_EQ(first["budget"], 0.1);
  EXPECT_TRUE(first["budget"].is_number_float());
  EXPECT_EQ(first["k"], 2);
  EXPECT_EQ(first["recall"].get<double>(), step.recalls[0].recall);
  EXPECT_EQ(first["mass"], 0.5);
  EXPECT_EQ(first["mass_ratio"], 0.75);
  EXPECT_EQ(first["chance"], 0.125);
  EXPECT_EQ(first["recall_without_free_hits"].get<double>(),
            *step.recalls[0].recall_without_free_hits);
  EXPECT_EQ(first["drift"], 0.25);
  EXPECT_TRUE(first["fetched_back"].is_null());
  EXPECT_EQ(first["layer_recalls"], json::array());
  EXPECT_EQ(line["recalls"][1]["budget"], "tokens:4");
  EXPECT_EQ(line["recalls"][2]["scope"], "layer");
  EXPECT_EQ(line["recalls"][2]["layer_recalls"].dump(), "[0.3,0.7]");
  EXPECT_EQ(line["gaps"], json::array());
}

TEST(JsonLinesTest, GapsAreNamedByTheirLane) {
  FakeScript script = MakeScript(1, 2);
  AddGaps(&script);
  const std::vector<json> lines = Write(script);
  EXPECT_EQ(lines[1]["gap_scores"].dump(), "[0.25,1.0]");
  EXPECT_EQ(lines[3]["gaps"].dump(),
            R"j([{"entropy_change":0.25,"kl":1.0,"lane":"without_gold(0.1)",)j"
            R"j("logprob_change":-0.25,"token_id":102,"top1_agrees":true},)j"
            R"j({"entropy_change":-0.5,"kl":0.0,)j"
            R"j("lane":"only_pred(h2o,tokens:4,layer)","logprob_change":0.5,)j"
            R"j("token_id":7,"top1_agrees":false}])j");
}

TEST(JsonLinesTest, APolicyWithoutAScopeKeepsTheOtherLanesInPlace) {
  FakeScript script = MakeScript(1, 1);
  script.run.config.policies[0].name = "pyramidkv";
  auto& recalls = std::get<StepRecord>(script.events[1].body).recalls;
  recalls.erase(recalls.begin(), recalls.begin() + 2);  // scope global
  const json line = Write(script)[2];
  ASSERT_EQ(line["recalls"].size(), 6u);
  EXPECT_EQ(line["recalls"][0]["policy"], "pyramidkv");
  EXPECT_EQ(line["recalls"][0]["scope"], "layer");
  EXPECT_EQ(line["recalls"][2]["policy"], "oracle");
  EXPECT_EQ(line["recalls"][2]["scope"], "global");
  EXPECT_EQ(line["recalls"][2]["recall"], 1.0);
}

TEST(JsonLinesTest, AStepThatDoesNotFitItsRunIsRefused) {
  FakeScript script = MakeScript(1, 1);
  AddGaps(&script);
  StepRecord step = std::get<StepRecord>(script.events[1].body);
  EXPECT_TRUE(StepLine(script.run.config, "s", step).ok());
  step.gaps.pop_back();
  EXPECT_TRUE(
      absl::IsDataLoss(StepLine(script.run.config, "s", step).status()));
  step = std::get<StepRecord>(script.events[1].body);
  step.recalls.pop_back();
  EXPECT_TRUE(
      absl::IsDataLoss(StepLine(script.run.config, "s", step).status()));
}

TEST(JsonLinesTest, WhatIsNotDefinedIsNull) {
  FakeScript script = MakeScript(1, 1);
  RecallRecord& recall = std::get<StepRecord>(script.events[1].body).recalls[0];
  recall.lift.reset();
  recall.recall_without_free_hits.reset();
  std::get<SampleResult>(script.events[2].body).score.reset();
  const std::vector<json> lines = Write(script);
  EXPECT_TRUE(lines[1]["score"].is_null());
  for (const char* name :
       {"lift", "recall_without_free_hits", "drift", "fetched_back"}) {
    EXPECT_TRUE(lines[2]["recalls"][0][name].is_null()) << name;
  }
}

TEST(JsonLinesTest, FailedAndUnfinishedSamplesSayWhatTheyAre) {
  FakeScript script = MakeScript(2, 2);
  script.events.resize(6);  // s1 done; s2: start and one step
  script.events.push_back({.sequence = 7,
                           .sample_id = "s3",
                           .attempt = 1,
                           .body = SampleFailure{"PROMPT_TOO_LONG", "by far"}});
  const std::vector<json> lines = Write(script);
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[4]["state"], "failed");
  EXPECT_EQ(lines[4]["reason"], "PROMPT_TOO_LONG");
  EXPECT_EQ(lines[5]["sample_id"], "s2");
  EXPECT_EQ(lines[5]["state"], "unfinished");
  EXPECT_EQ(lines[5]["generated_tokens"], 1);
  EXPECT_TRUE(lines[5]["finish_reason"].is_null());
  EXPECT_EQ(lines[6]["type"], "step");
}

TEST(JsonLinesTest, OnlyTheAttemptThatCountsIsWritten) {
  FakeScript script = MakeScript(1, 3);
  std::vector<Event> again = script.events;
  script.events.resize(3);
  for (Event& event : again) {
    event.attempt = 2;
    script.events.push_back(event);
  }
  const std::vector<json> lines = Write(script, {{"s1", 2}});
  EXPECT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[1]["attempt"], 2);
}

TEST(JsonLinesTest, BytesThatAreNotUtf8DoNotEndIt) {
  FakeScript script = MakeScript(1, 1);
  std::get<StepRecord>(script.events[1].body).token = "\xff";
  EXPECT_EQ(Write(script)[2]["token"], "\uFFFD");
}

TEST(JsonLinesTest, AnOutputThatFailsIsAnError) {
  const FakeScript script = MakeScript(1, 1);
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  JsonLinesWriter writer(out, script.run, {});
  EXPECT_EQ(writer.Finish().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace kvrecall
