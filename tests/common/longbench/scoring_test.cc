#include "common/longbench/scoring.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include <gtest/gtest.h>

#include "common/longbench/code_similarity.h"
#include "common/longbench/normal_form.h"
#include "common/longbench/rouge.h"

namespace kvrecall {
namespace {

const Task& GetTask(std::string_view name) { return **FindTask(name); }

double Score(std::string_view task, std::string_view prediction,
             const std::string& answer) {
  const std::vector<std::string> answers = {answer};
  return ScoreSample(GetTask(task), prediction, answers, {}).value_or(-1);
}

// Made by tests/golden/qa_f1_golden.py: another implementation, in Python.
TEST(QaF1Test, EqualsPythonOnTheGoldenPairs) {
  std::ifstream file("tests/golden/qa_f1.json");
  ASSERT_TRUE(file) << "run from the repository's root";
  const auto golden = nlohmann::json::parse(file);
  size_t pairs = 0;
  for (const auto& row : golden.at("cases")) {
    const std::string prediction = row.at("prediction");
    const std::vector<std::string> answers = row.at("answers");
    const std::vector<double> f1 = row.at("f1");
    EXPECT_EQ(NormalizeAnswer(prediction), row.at("normal").get<std::string>())
        << row.at("prediction");
    for (size_t i = 0; i < answers.size(); ++i, ++pairs) {
      EXPECT_NEAR(QaF1(prediction, answers[i]), f1[i], 1e-12) << row;
    }
    const auto best = ScoreSample(GetTask("hotpotqa"), prediction, answers, {});
    ASSERT_TRUE(best.has_value());
    EXPECT_NEAR(*best, *std::max_element(f1.begin(), f1.end()), 1e-12) << row;
  }
  EXPECT_GE(pairs, 500u);
}

// Made by tests/golden/longbench_scores.py with LongBench's own metrics: 500
// pairs and more of each kind.
TEST(LongBenchScoresTest, EqualLongBenchsOwnMetrics) {
  std::ifstream file("tests/golden/longbench_scores.json");
  ASSERT_TRUE(file) << "run from the repository's root";
  const auto golden = nlohmann::json::parse(file);
  for (const auto& [task, pairs] : golden.at("tasks").items()) {
    SCOPED_TRACE(task);
    EXPECT_GE(pairs.size(), 500u);
    for (const auto& pair : pairs) {
      const std::vector<std::string> answers = pair.at("answers");
      const std::vector<std::string> classes = pair.at("classes");
      const auto score =
          ScoreSample(GetTask(task), pair.at("prediction").get<std::string>(),
                      answers, classes);
      ASSERT_TRUE(score.has_value());
      EXPECT_NEAR(*score, pair.at("score").get<double>(), 1e-12) << pair;
    }
  }
}

TEST(LongBenchScoresTest, ChineseTextThatNeedsWordsIsNotScored) {
  const std::vector<std::string> answers = {"答案"};
  for (const char* task : {"multifieldqa_zh", "dureader", "vcsum"}) {
    EXPECT_FALSE(ScoreSample(GetTask(task), "答案", answers, {}));
    EXPECT_NE(UnscoredReason(GetTask(task).metric).find("jieba"),
              std::string_view::npos);
  }
  EXPECT_EQ(UnscoredReason(GetTask("lsht").metric), "");
}

TEST(QaF1Test, CountsRepeatedTokensAsOftenAsBothHaveThem) {
  // 2 of 3 and 2 of 2.
  EXPECT_DOUBLE_EQ(QaF1("Bora Bora Bora", "Bora Bora"), 0.8);
}

TEST(QaF1Test, NothingSharedIsZeroAlsoWhereBothAreEmpty) {
  EXPECT_EQ(QaF1("", ""), 0);
  EXPECT_EQ(QaF1("the", "a"), 0);
  EXPECT_EQ(QaF1("Rome", "Paris"), 0);
}

TEST(QaF1Test, MalformedUtf8IsScoredAndDoesNotMatch) {
  EXPECT_EQ(QaF1("\xFF\xFE", "Paris"), 0);
  EXPECT_DOUBLE_EQ(QaF1("Paris \xE2\x82", "Paris"), 2.0 / 3.0);
}

TEST(ScoreSampleTest, TakesTheBestOfTheAnswers) {
  const std::vector<std::string> answers = {"Rome", "Paris, France", "Paris"};
  EXPECT_EQ(ScoreSample(GetTask("musique"), "paris", answers, {}), 1.0);
}

TEST(ScoreSampleTest, WithoutAnswersThereIsNoScore) {
  EXPECT_FALSE(ScoreSample(GetTask("musique"), "Paris", {}, {}).has_value());
}

TEST(ScoreSampleTest, LongBenchsOwnTasksScoreTheWholeText) {
  EXPECT_DOUBLE_EQ(Score("hotpotqa", "Answer: Paris", "Paris"), 2.0 / 3.0);
}

TEST(ScoreSampleTest, ReasoningIsScoredOnTheLastMarkedLine) {
  constexpr std::string_view kText =
      "Passage 2 says Rome.\nAnswer: Rome\nNo: passage 4 corrects it.\n"
      "Answer:  The Paris. \nThat is all.";
  EXPECT_EQ(ExtractAnswer(GetTask("musique_cot"), kText), "The Paris.");
  EXPECT_EQ(Score("musique_cot", kText, "Paris"), 1);
  EXPECT_EQ(Score("hotpotqa_cot", kText, "Rome"), 0);
}

TEST(ScoreSampleTest, TheMarkedAnswerMayStandOnTheNextLine) {
  const Task& task = GetTask("hotpotqa_cot");
  EXPECT_EQ(ExtractAnswer(task, "So:\nAnswer:\n\nParis\nmore"), "Paris");
  EXPECT_EQ(ExtractAnswer(task, "**Answer:** Paris\r\n"), "** Paris");
  EXPECT_EQ(Score("hotpotqa_cot", "**Answer:** Paris", "Paris"), 1);
}

TEST(ScoreSampleTest, WithoutItsMarkerAnAnswerIsEmptyAndScoresZero) {
  EXPECT_EQ(Score("hotpotqa_cot", "It is Paris", "Paris"), 0);
  EXPECT_EQ(Score("hotpotqa_cot", "It is Paris. Answer:", "Paris"), 0);
  EXPECT_EQ(Score("demo", "It is Paris.", "Paris"), 0);
  EXPECT_EQ(Score("demo", "", "Paris"), 0);
}

TEST(ScoreSampleTest, TheDemoIsScoredOnTheFirstAnswerUpToItsFullStop) {
  constexpr std::string_view kText =
      "Ba Do comes from Trai. The answer is The Graitho. A traveller named "
      "Anna Bo comes to Trai. The answer is Nobody.";
  EXPECT_EQ(ExtractAnswer(GetTask("demo"), kText), "The Graitho");
  EXPECT_EQ(Score("demo", kText, "The Graitho"), 1);
  EXPECT_EQ(Score("demo", "The answer is Ba Do", "Ba Do"), 1);
}

TEST(ScoreSampleTest, TheFirstLineRuleSkipsLineFeedsBeforeIt) {
  Task task = GetTask("hotpotqa");
  task.answer_rule = AnswerRule::kFirstLine;
  EXPECT_EQ(ExtractAnswer(task, "\n\nParis\nPassage:"), "Paris");
  EXPECT_EQ(ExtractAnswer(task, " \nParis"), " ");
  EXPECT_EQ(ExtractAnswer(task, "\n\n"), "");
  EXPECT_EQ(ExtractAnswer(task, "Paris"), "Paris");
}

}  // namespace
}  // namespace kvrecall
