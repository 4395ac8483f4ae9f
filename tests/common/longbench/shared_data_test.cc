// Against LongBench's own tables and samples, where a checkout has them beside
// it (or at $KVRECALL_SHARED).

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "nlohmann/json.hpp"
#include <gtest/gtest.h>

#include "common/longbench/jsonl.h"
#include "common/longbench/prompt.h"
#include "common/longbench/scoring.h"
#include "common/longbench/task.h"

namespace kvrecall {
namespace {

class LongBenchDataTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("KVRECALL_SHARED");
    folder_ = std::string(shared ? shared : "../shared") + "/data/longbench/";
    if (!std::filesystem::is_directory(folder_)) {
      GTEST_SKIP() << folder_ << " is not there";
    }
  }

  nlohmann::json Table(const std::string& name) const {
    std::ifstream file(folder_ + name);
    return nlohmann::json::parse(file);
  }

  std::string folder_;
};

TEST_F(LongBenchDataTest, TemplatesAndLengthsAreLongBenchsTables) {
  const auto prompts = Table("dataset2prompt.json");
  const auto lengths = Table("dataset2maxlen.json");
  for (const Task& task : AllTasks()) {
    if (!task.is_longbench) continue;
    std::string name(task.name);
    if (task.is_longbench_e) name.resize(name.size() - 2);  // "_e"
    EXPECT_EQ(prompts.at(name).get<std::string>(), task.prompt_template);
    EXPECT_EQ(lengths.at(name).get<int>(), task.max_new_tokens);
  }
}

TEST_F(LongBenchDataTest, EverySampleIsReadFilledAndScored) {
  for (const char* kind : {"longbench_", "short_"}) {
    for (const char* name : {"hotpotqa", "musique"}) {
      const std::string path = folder_ + kind + name + ".jsonl";
      const auto samples = ReadSamples(path);
      ASSERT_TRUE(samples.ok()) << samples.status();
      const Task& task = **FindTask(name);
      for (const Sample& sample : *samples) {
        EXPECT_EQ(sample.dataset, task.dataset);
        EXPECT_GT(sample.length, 0);
        ASSERT_FALSE(sample.answers.empty());
        // The template's two placeholders give way to the sample's texts.
        const std::string prompt = FillTemplate(task, sample);
        EXPECT_EQ(prompt.size(), task.prompt_template.size() -
                                     std::string("{context}{input}").size() +
                                     sample.context.size() +
                                     sample.input.size());
        EXPECT_NE(prompt.find(sample.context), std::string::npos);
        EXPECT_TRUE(
            prompt.ends_with("Question: " + sample.input + "\nAnswer:"));
        EXPECT_EQ(ScoreSample(task, sample.answers[0], sample.answers, {}),
                  1.0);
      }
    }
  }
}

}  // namespace
}  // namespace kvrecall
