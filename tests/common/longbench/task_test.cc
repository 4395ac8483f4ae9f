#include "common/longbench/task.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/digest.h"

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
                    HasSubstr("hotpotqa, musique, hotpotqa_cot, musique_cot, "
                              "demo")));
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

TEST(TaskTest, EveryTemplateTakesTheContextAndTheQuestion) {
  for (const Task& task : AllTasks()) {
    EXPECT_NE(task.prompt_template.find("{context}"), std::string_view::npos);
    EXPECT_NE(task.prompt_template.find("{input}"), std::string_view::npos);
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

TEST(TaskTest, MarkedRulesHaveAMarkerAndTheOthersNone) {
  for (const Task& task : AllTasks()) {
    const bool marked = task.answer_rule == AnswerRule::kLastMarkedLine ||
                        task.answer_rule == AnswerRule::kFirstMarkedSentence;
    EXPECT_EQ(marked, !task.answer_marker.empty()) << task.name;
  }
}

}  // namespace
}  // namespace kvrecall
