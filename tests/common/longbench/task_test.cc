#include "common/longbench/task.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/digest.h"
#include "common/longbench/scoring.h"

namespace kvrecall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(TaskTest, EveryTaskIsFoundByItsName) {
  for (const Task& task : AllTasks()) {
    const auto found = FindTask(task.name);
    ASSERT_TRUE(found.ok()) << task.name;
    EXPECT_EQ(*found, &task);
  }
}

TEST(TaskTest, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const Task& task : AllTasks()) names.insert(task.name);
  EXPECT_EQ(names.size(), AllTasks().size());
}

TEST(TaskTest, AnUnknownNameGetsTheNearestAndTheList) {
  const auto task = FindTask("musiqe");
  EXPECT_EQ(task.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(task.status().message()),
              AllOf(HasSubstr("'musiqe'"), HasSubstr("did you mean 'musique'"),
                    HasSubstr("kvrecall-client tasks")));
  EXPECT_THAT(std::string(FindTask("HotpotQA-cot").status().message()),
              HasSubstr("did you mean 'hotpotqa_cot'"));
  EXPECT_FALSE(FindTask("").ok());
}

TEST(TaskTest, TheMessageForAVeryLongNameIsShort) {
  const auto task = FindTask(std::string(100'000, 'x'));
  EXPECT_LT(task.status().message().size(), 300u);
}

// SHA-256 of the templates in LongBench's config/dataset2prompt.json, and of
// the text that the embedded model was trained on.
TEST(TaskTest, TemplatesAreThoseOfTheirSourcesToTheByte) {
  constexpr char kMultiDocumentQa[] =
      "9ec4ae308865bd0c62af20b3dc7b12b31f2b447f55684bd88c1aa40f2f636deb";
  constexpr char kDemo[] =
      "5b0c87ed4dae935a22434ed6a68a1ecb5b7b4a3eeab039af76b935218d2ecae5";
  const auto digest = [](std::string_view task) {
    return Sha256Hex((*FindTask(task))->prompt_template);
  };
  EXPECT_EQ(digest("hotpotqa"), kMultiDocumentQa);
  EXPECT_EQ(digest("musique"), kMultiDocumentQa);
  EXPECT_EQ(digest("demo"), kDemo);
}

// Those without a question ask the same of every sample. What a sample of
// anybody's has, its run's own template says.
TEST(TaskTest, EveryTemplateTakesTheContextAndMostTheQuestion) {
  const std::set<std::string_view> without_question = {
      "gov_report",   "multi_news",   "vcsum",           "passage_count", "lcc",
      "gov_report_e", "multi_news_e", "passage_count_e", "lcc_e"};
  for (const Task& task : AllTasks()) {
    if (task.name == kCustomTask) continue;
    EXPECT_NE(task.prompt_template.find("{context}"), std::string_view::npos);
    EXPECT_EQ(task.prompt_template.find("{input}") == std::string_view::npos,
              without_question.contains(task.name))
        << task.name;
  }
}

TEST(TaskTest, LongBenchIsWhole) {
  int own = 0, variants = 0;
  for (const Task& task : AllTasks()) {
    own += task.is_longbench && !task.is_longbench_e;
    variants += task.is_longbench_e;
  }
  EXPECT_EQ(own, 21);
  EXPECT_EQ(variants, 13);
  const Task& variant = **FindTask("passage_retrieval_en_e");
  const Task& task = **FindTask("passage_retrieval_en");
  EXPECT_EQ(variant.dataset, "passage_retrieval_en_e");
  EXPECT_EQ(variant.prompt_template, task.prompt_template);
  EXPECT_EQ(variant.max_new_tokens, task.max_new_tokens);
}

// pred.py: no chat template for few-shot and code; eval.py: the first line of
// few-shot answers.
TEST(TaskTest, FewShotAndCodeTasksFollowLongBenchsRules) {
  const std::set<std::string_view> no_chat = {
      "trec", "triviaqa", "samsum", "lsht", "lcc", "repobench-p"};
  const std::set<std::string_view> first_line = {"trec", "triviaqa", "samsum",
                                                 "lsht"};
  for (const Task& task : AllTasks()) {
    if (!task.is_longbench || task.is_longbench_e) continue;
    EXPECT_EQ(task.chat, !no_chat.contains(task.name)) << task.name;
    EXPECT_EQ(task.answer_rule == AnswerRule::kFirstLine,
              first_line.contains(task.name))
        << task.name;
    EXPECT_EQ(task.ends_at_newline, task.name == "samsum");
  }
}

TEST(TaskTest, ReasoningTasksShareTheSamplesButNotTheScores) {
  for (std::string_view name : {"hotpotqa", "musique"}) {
    const Task& own = **FindTask(name);
    const Task& reasoning = **FindTask(std::string(name) + "_cot");
    EXPECT_EQ(own.dataset, reasoning.dataset);
    EXPECT_TRUE(own.is_longbench);
    EXPECT_FALSE(reasoning.is_longbench);
    EXPECT_EQ(own.max_new_tokens, 32);
    EXPECT_EQ(reasoning.max_new_tokens, 512);
    EXPECT_NE(own.prompt_template, reasoning.prompt_template);
  }
}

TEST(TaskTest, AnybodysSamplesAreTheirInputAndHaveNoScore) {
  const Task& task = **FindTask(kCustomTask);
  EXPECT_EQ(task.prompt_template, "{input}");
  EXPECT_TRUE(task.chat);
  EXPECT_EQ(task.metric, Metric::kNone);
  EXPECT_FALSE(UnscoredReason(task.metric).empty());
  EXPECT_FALSE(task.is_longbench);
}

TEST(TaskTest, MarkedRulesHaveAMarkerAndTheOthersNone) {
  for (const Task& task : AllTasks()) {
    const bool marked = task.answer_rule == AnswerRule::kLastMarkedLine ||
                        task.answer_rule == AnswerRule::kFirstMarkedSentence;
    EXPECT_EQ(marked, !task.answer_marker.empty()) << task.name;
  }
}

}  // namespace
}  // namespace kvrecall
