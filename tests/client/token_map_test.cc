#include "client/report/token_map.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "common/record/headline.h"
#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

Sample SampleOf(const std::string& id) {
  Sample sample;
  sample.id = id;
  sample.input = "Question?";
  sample.context = "Context.";
  sample.answers = {"A", "B"};
  return sample;
}

class TokenMapTest : public testing::Test {
 protected:
  // Of h2o and oracle in scope global: two samples of two steps.
  TokenMapTest() : script_(MakeScript(2, 2)) {}

  StepRecord& Step(size_t event) {
    return std::get<StepRecord>(script_.events[event].body);
  }

  // Of the samples that are asked for, with the attempts that count.
  Json Map(const std::vector<std::string>& ids, int64_t attempt = 1) const {
    TokenMap map(script_.run.config, 0);
    for (const std::string& id : ids) map.AddSample(SampleOf(id));
    for (const Event& event : script_.events) map.Add(event, attempt);
    return map.ToJson();
  }
  Json First() const { return Map({"s1"})["samples"][0]; }

  FakeScript script_;
};

TEST_F(TokenMapTest, ASampleHasItsQuestionResultAndSteps) {
  const Json map = Map({"s1"});
  EXPECT_EQ(map["policies"].dump(), R"(["h2o","oracle"])");
  EXPECT_EQ(map["budgets"].dump(), R"(["0.1","tokens:4"])");
  const Json& sample = map["samples"][0];
  EXPECT_EQ(sample["id"], "s1");
  EXPECT_EQ(sample["question"], "Question?");
  EXPECT_EQ(sample["answers"].dump(), R"(["A","B"])");
  EXPECT_EQ(sample["state"], "done");
  EXPECT_TRUE(sample["reason"].is_null());
  EXPECT_EQ(sample["score"], 1.0);
  EXPECT_EQ(sample["prompt_tokens"], 20);
  EXPECT_EQ(sample["truncated"], false);
  ASSERT_EQ(sample["steps"].size(), 2u);
  const Json& step = sample["steps"][1];
  ASSERT_EQ(step.size(), 8u);
  EXPECT_EQ(step[0], " t");
  EXPECT_EQ(step[1], 21);
  EXPECT_EQ(step[4], 0.5);
  EXPECT_EQ(step[5], 0.25);
  EXPECT_EQ(step[6].size(), 4u) << "two policies, two budgets, one scope";
  EXPECT_EQ(step[7].size(), 4u);
}

TEST_F(TokenMapTest, NumbersAreRoundedToWhatIsShown) {
  StepRecord& step = Step(1);
  step.entropy = 1.23456789;
  step.logprob = std::log(0.0123456);
  step.p_max = 0.98765;
  step.margin = 0;
  step.recalls[0].recall = 1.0 / 3;
  step.recalls[0].lost = {{7, 0.00012345f, " a"}};
  std::get<SampleResult>(script_.events[3].body).score = 2.0 / 3;
  const Json sample = First();
  EXPECT_EQ(sample["score"].dump(), "0.6667");
  const Json& shown = sample["steps"][0];
  EXPECT_EQ(shown[2].dump(), "1.235");
  EXPECT_EQ(shown[3].dump(), "0.0123");
  EXPECT_EQ(shown[4].dump(), "0.988");
  EXPECT_EQ(shown[5].dump(), "0.0");
  EXPECT_EQ(shown[6][0].dump(), "0.333");
  EXPECT_EQ(shown[7][0].dump(), "[7,0.000123]");
}

// A position is lost at many steps; its text is there once.
TEST_F(TokenMapTest, LostPositionsHaveTheirTextsBesideTheSteps) {
  Step(2).recalls[0].lost = {{7, 0.5f, " lost"}, {11, 0.25f, "\n"}};
  const Json sample = First();
  EXPECT_EQ(sample["texts"].dump(),
            R"({"2":"</script>","7":" lost","11":"\n"})");
  EXPECT_EQ(sample["steps"][0][7].dump(),
            "[[7,0.25,2,0.125],[7,0.25,2,0.125],"
            "[],[]]");
  EXPECT_EQ(sample["steps"][1][7][0].dump(), "[7,0.5,11,0.25]");
}

TEST_F(TokenMapTest, AttemptsThatDoNotCountAreIgnored) {
  script_.events[2].attempt = 2;
  EXPECT_EQ(First()["steps"].size(), 1u);
  const Json second = Map({"s1"}, 2)["samples"][0];
  EXPECT_EQ(second["steps"].size(), 1u);
  EXPECT_EQ(second["state"], "unfinished");
  EXPECT_EQ(second["prompt_tokens"], 0);
}

TEST_F(TokenMapTest, SamplesThatAreNotAskedForAreIgnored) {
  EXPECT_EQ(Map({"s2"})["samples"].size(), 1u);
  EXPECT_EQ(Map({"s2"})["samples"][0]["score"], 0.5);
  EXPECT_EQ(Map({})["samples"], Json::array());
  // In the order in which they were asked for.
  EXPECT_EQ(Map({"s2", "s1"})["samples"][1]["id"], "s1");
}

TEST_F(TokenMapTest, AFailedSampleHasItsReasonAndNoScore) {
  script_.events[3].body = SampleFailure{"OUT_OF_MEMORY", "no room <here>"};
  const Json sample = First();
  EXPECT_EQ(sample["state"], "failed");
  EXPECT_EQ(sample["reason"], "no room <here>");
  EXPECT_TRUE(sample["score"].is_null());
  EXPECT_EQ(sample["steps"].size(), 2u);
}

TEST_F(TokenMapTest, ASampleWithoutMetricHasNoScore) {
  std::get<SampleResult>(script_.events[3].body).score.reset();
  EXPECT_TRUE(First()["score"].is_null());
  EXPECT_EQ(First()["state"], "done");
}

TEST_F(TokenMapTest, OnlyPoliciesThatHaveTheScopeAreShown) {
  script_.run.config.policies[0].name = "pyramidkv";
  for (const size_t event : {1, 2}) {
    auto& recalls = Step(event).recalls;
    recalls.erase(recalls.begin(), recalls.begin() + 2);  // scope global
  }
  const Json map = Map({"s1"});
  EXPECT_EQ(map["policies"].dump(), R"(["oracle"])");
  EXPECT_EQ(map["samples"][0]["steps"][0][6].dump(), "[1.0,1.0]");
}

TEST_F(TokenMapTest, TheQuestionIsWhatAReaderTakesForIt) {
  const auto question = [this](const Sample& sample) {
    TokenMap map(script_.run.config, 0);
    map.AddSample(sample);
    return map.ToJson()["samples"][0]["question"].get<std::string>();
  };
  Sample sample = SampleOf("s1");
  sample.input = "";
  EXPECT_EQ(question(sample), "Context.");
  sample.messages = {{"system", "Be brief."}, {"user", "Who?"}};
  EXPECT_EQ(question(sample), "Who?");
  // Two bytes a character: 599 is the last whole one within 600 bytes.
  sample.messages.back().content = "x";
  for (int i = 0; i < 400; ++i) sample.messages.back().content += "\xC3\xA9";
  const std::string shown = question(sample);
  EXPECT_EQ(shown.substr(0, 599),
            sample.messages.back().content.substr(0, 599));
  EXPECT_EQ(shown.substr(599), " …");
}

}  // namespace
}  // namespace kvrecall
