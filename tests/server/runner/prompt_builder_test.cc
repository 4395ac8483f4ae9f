#include "server/runner/prompt_builder.h"

#include <filesystem>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

constexpr char kNano[] = "deploy/models/nano";

Sample MakeSample() {
  Sample sample;
  sample.id = "s";
  sample.input = "Where was Ada born?";
  sample.context = "Passage 1:\nAbout Ada: Ada was born in {London}.";
  sample.answers = {"London"};
  return sample;
}

RunConfig Config(int64_t limit = 1000) {
  RunConfig config;
  config.task = "demo";
  config.max_prompt_tokens = limit;
  config.chat_template = "auto";
  return config;
}

class PromptBuilderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto builder = PromptBuilder::Load(kNano);
    ASSERT_TRUE(builder.ok()) << builder.status();
    builder_ = std::move(*builder);
    task_ = *FindTask("demo");
  }
  std::unique_ptr<PromptBuilder> builder_;
  const Task* task_ = nullptr;
};

TEST_F(PromptBuilderTest, ThePromptContainsContextAndQuestion) {
  auto prompt = builder_->Build(MakeSample(), *task_, Config());
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  const std::string read = builder_->tokenizer().Decode(prompt->tokens, false);
  EXPECT_EQ(read, prompt->text);
  EXPECT_NE(read.find("Ada was born in {London}."), std::string::npos);
  EXPECT_NE(read.find("Question: Where was Ada born?"), std::string::npos);
  EXPECT_TRUE(read.starts_with("<|im_start|>user\n"));
  EXPECT_TRUE(read.ends_with("<|im_end|>\n<|im_start|>assistant\n"));
  EXPECT_FALSE(prompt->truncated);
  EXPECT_LT(prompt->raw_tokens, static_cast<int64_t>(prompt->tokens.size()));
}

TEST_F(PromptBuilderTest, TruncationCutsTheMiddleAndKeepsTheQuestion) {
  Sample sample = MakeSample();
  for (int i = 0; i < 200; ++i) sample.context += " Something happened.";
  auto prompt = builder_->Build(sample, *task_, Config(100));
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_TRUE(prompt->truncated);
  EXPECT_GT(prompt->raw_tokens, 400);
  EXPECT_LT(prompt->tokens.size(), 130u);
  EXPECT_NE(prompt->text.find("Question: Where was Ada born?"),
            std::string::npos);
  EXPECT_NE(prompt->text.find("Answer the question"), std::string::npos);
}

TEST_F(PromptBuilderTest, ChatTemplateCanBeLeftOut) {
  RunConfig config = Config();
  config.chat_template = "none";
  auto prompt = builder_->Build(MakeSample(), *task_, config);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(prompt->text.find("<|im_start|>"), std::string::npos);
  EXPECT_EQ(*builder_->DescribeChatTemplate(*task_, "none"), "none");
  EXPECT_NE(*builder_->DescribeChatTemplate(*task_, "auto"), "none");
  EXPECT_EQ(builder_->DescribeChatTemplate(*task_, "jinja").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Real samples: a prompt that lost its context would be a few dozen tokens.
TEST_F(PromptBuilderTest, LongBenchPromptsAreLong) {
  const std::string path = "../shared/data/longbench/longbench_hotpotqa.jsonl";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << path << " is not on this machine";
  auto samples = ReadSamples(path);
  ASSERT_TRUE(samples.ok()) << samples.status();
  const Task* task = *FindTask("hotpotqa");
  for (const Sample& sample : *samples) {
    auto prompt = builder_->Build(sample, *task, Config(31500));
    ASSERT_TRUE(prompt.ok()) << prompt.status();
    EXPECT_GT(prompt->tokens.size(), 1000u) << sample.id;
    EXPECT_TRUE(prompt->truncated ||
                prompt->text.find(sample.context) != std::string::npos);
    EXPECT_NE(prompt->text.find(sample.input), std::string::npos);
  }
}

TEST(PromptBuilderLoadTest, NamesWhatIsMissing) {
  auto builder = PromptBuilder::Load("/nonexistent");
  ASSERT_FALSE(builder.ok());
  EXPECT_NE(builder.status().message().find("/nonexistent"), std::string::npos);
}

}  // namespace
}  // namespace kvrecall
