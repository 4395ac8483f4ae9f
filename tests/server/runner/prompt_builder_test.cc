#include "server/runner/prompt_builder.h"

#include <filesystem>
#include <string>

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

// Task custom: samples of anybody's.
class CustomPromptTest : public PromptBuilderTest {
 protected:
  void SetUp() override {
    PromptBuilderTest::SetUp();
    task_ = *FindTask(kCustomTask);
    config_ = Config();
    config_.task = kCustomTask;
    sample_.id = "mine";
    sample_.input = "Who wrote {it}?";
    sample_.fields = {{"title", "Ulysses"}};
  }

  absl::StatusOr<Prompt> Build() const {
    return builder_->Build(sample_, *task_, config_);
  }

  // Of a prompt without truncation.
  std::string Text() const {
    const auto prompt = Build();
    EXPECT_TRUE(prompt.ok()) << prompt.status();
    if (!prompt.ok()) return "";
    EXPECT_EQ(builder_->tokenizer().Decode(prompt->tokens, false),
              prompt->text);
    EXPECT_FALSE(prompt->truncated);
    return prompt->text;
  }

  static std::string Turn(const std::string& role, const std::string& content) {
    return "<|im_start|>" + role + "\n" + content + "<|im_end|>\n";
  }

  RunConfig config_;
  Sample sample_;
};

constexpr char kAnswer[] = "<|im_start|>assistant\n";

TEST_F(CustomPromptTest, WithoutATemplateThePromptIsTheInput) {
  sample_.context = "not asked for";
  EXPECT_EQ(Text(), Turn("user", "Who wrote {it}?") + kAnswer);
}

TEST_F(CustomPromptTest, TheRunsOwnTemplateMayNameEveryField) {
  config_.prompt_template = "Of {title}: {input}{context} {}";
  sample_.context = " Now.";
  EXPECT_EQ(Text(),
            Turn("user", "Of Ulysses: Who wrote {it}? Now. {}") + kAnswer);
}

TEST_F(CustomPromptTest, AFieldThatTheSampleHasNotIsABadPrompt) {
  config_.prompt_template = "Of {author}: {input}";
  const absl::Status status = Build().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(status.message(),
            "the template names {author}, and sample 'mine' has no such field; "
            "it has context, input, title");
}

TEST_F(CustomPromptTest, AFilledTemplateIsTruncatedLikeLongBenchs) {
  config_.prompt_template = "First. {context} Last.";
  config_.max_prompt_tokens = 40;
  for (int i = 0; i < 200; ++i) sample_.context += " Something happened.";
  const auto prompt = Build();
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_TRUE(prompt->truncated);
  EXPECT_GT(prompt->raw_tokens, 400);
  EXPECT_TRUE(prompt->text.starts_with("<|im_start|>user\nFirst."));
  EXPECT_TRUE(
      prompt->text.ends_with(std::string(" Last.<|im_end|>\n") + kAnswer));
}

TEST_F(CustomPromptTest, AChatGoesThroughTheChatTemplateInPlaceOfAPrompt) {
  config_.prompt_template = "{no such field}{input}";
  sample_.messages = {{"system", "Be brief."},
                      {"user", "Who?"},
                      {"assistant", "Ada."},
                      {"user", "When?"}};
  EXPECT_EQ(Text(), Turn("system", "Be brief.") + Turn("user", "Who?") +
                        Turn("assistant", "Ada.") + Turn("user", "When?") +
                        kAnswer);
  int64_t raw = 0;
  for (const ChatMessage& message : sample_.messages)
    raw += std::ssize(builder_->tokenizer().Encode(message.content));
  EXPECT_EQ(Build()->raw_tokens, raw);
  EXPECT_GT(std::ssize(Build()->tokens), raw);
}

TEST_F(CustomPromptTest, AChatNeedsAChatTemplate) {
  sample_.messages = {{"user", "Who?"}};
  config_.chat_template = "none";
  const absl::Status status = Build().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(
      status.message(),
      "the sample is a chat, which needs a chat template; the run has none");
  config_.chat_template = "chatml";
  EXPECT_TRUE(Build().ok());
}

TEST_F(CustomPromptTest, AChatAboveTheLimitIsRefusedAndNotTruncated) {
  sample_.messages = {{"user", "Who?"}};
  const auto tokens = std::ssize(Build()->tokens);
  config_.max_prompt_tokens = tokens;
  EXPECT_TRUE(Build().ok());
  config_.max_prompt_tokens = tokens - 1;
  const absl::Status status = Build().status();
  EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
  EXPECT_EQ(status.message(), "the chat has " + std::to_string(tokens) +
                                  " tokens and the limit is " +
                                  std::to_string(tokens - 1) +
                                  "; a chat is not truncated");
}

// The engine needs a token to begin with.
TEST_F(CustomPromptTest, APromptOfNothingIsRefused) {
  sample_.input = "";
  config_.chat_template = "none";
  const absl::Status status = Build().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(status.message(), "the prompt has no tokens");
}

TEST_F(CustomPromptTest, WhatIsNoChatIsABadPrompt) {
  sample_.messages = {{"assistant", "Hello."}};
  const absl::Status status = Build().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

TEST(PromptBuilderLoadTest, NamesWhatIsMissing) {
  auto builder = PromptBuilder::Load("/nonexistent");
  ASSERT_FALSE(builder.ok());
  EXPECT_NE(builder.status().message().find("/nonexistent"), std::string::npos);
}

}  // namespace
}  // namespace kvrecall
