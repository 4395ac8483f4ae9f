#include "server/service/validate.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/longbench/task.h"
#include "server/service/defaults.h"

namespace kvrecall {
namespace {

RunConfig ConfigOf(std::string_view task) {
  RunConfig config;
  config.task = std::string(task);
  return config;
}

v1::Sample NewSample() {
  v1::Sample sample;
  sample.set_sample_id("s");
  return sample;
}

v1::Sample Chat(
    const std::vector<std::pair<std::string, std::string>>& messages) {
  v1::Sample sample = NewSample();
  for (const auto& [role, content] : messages) {
    v1::ChatMessage* message = sample.add_messages();
    message->set_role(role);
    message->set_content(content);
  }
  return sample;
}

// Why sample 3 of a call cannot be run; "" if it can.
std::string Why(const v1::Sample& sample, std::string_view task = kCustomTask) {
  return WhyRefused(sample, 3, ConfigOf(task)).value_or("");
}

TEST(WhyRefusedTest, FieldsAndMessagesAreOfTaskCustomOnly) {
  v1::Sample sample = Chat({{"user", "Who?"}});
  EXPECT_EQ(Why(sample), "");
  EXPECT_EQ(Why(sample, "hotpotqa"),
            "samples[3].messages: is of task custom only; the run's is "
            "hotpotqa");
  sample = NewSample();
  sample.set_input("q");
  EXPECT_EQ(Why(sample, "hotpotqa"), "");
  (*sample.mutable_fields())["title"] = "t";
  EXPECT_EQ(Why(sample), "");
  EXPECT_EQ(Why(sample, "demo"),
            "samples[3].fields: is of task custom only; the run's is demo");
}

TEST(WhyRefusedTest, ACustomSampleFillsTheRunsTemplate) {
  v1::Sample sample = NewSample();
  sample.set_context("c");
  EXPECT_EQ(Why(sample),
            "samples[3]: has no input, and the run has no template");
  RunConfig config = ConfigOf(kCustomTask);
  config.prompt_template = "{context}: {title}";
  EXPECT_EQ(WhyRefused(sample, 3, config),
            "samples[3]: the template names {title}, and sample 's' has no "
            "such field; it has context, input");
  (*sample.mutable_fields())["title"] = "t";
  EXPECT_EQ(WhyRefused(sample, 3, config), std::nullopt);
  config.prompt_template = "{input}";
  EXPECT_EQ(WhyRefused(sample, 3, config), "samples[3]: gives an empty prompt");
}

TEST(WhyRefusedTest, ASampleNeedsSomethingToMakeAPromptOf) {
  v1::Sample sample = NewSample();
  const std::string nothing =
      "samples[3].context: is empty, and so is the input: there is no prompt";
  EXPECT_EQ(Why(sample), nothing);
  EXPECT_EQ(Why(sample, "hotpotqa"), nothing);
  RunConfig config = ConfigOf(kCustomTask);
  config.prompt_template = "{title}";
  (*sample.mutable_fields())["title"] = "t";
  EXPECT_EQ(WhyRefused(sample, 3, config), std::nullopt);
}

TEST(WhyRefusedTest, APlaceIsAWholeNumberFromOneOrNone) {
  v1::Sample sample = NewSample();
  sample.set_input("q");
  for (const int64_t ordinal : {int64_t{0}, int64_t{1}, kMostOrdinal}) {
    sample.set_ordinal(ordinal);
    EXPECT_EQ(Why(sample), "");
  }
  sample.set_ordinal(-1);
  EXPECT_EQ(Why(sample),
            "samples[3].ordinal: -1 is not in 0 to 9007199254740992");
  sample.set_ordinal(kMostOrdinal + 1);
  EXPECT_THAT(Why(sample), testing::HasSubstr("is not in 0 to"));
}

TEST(WhyRefusedTest, MessagesThatAreNoChatAreRefusedWithTheRule) {
  EXPECT_EQ(Why(Chat({{"system", "s"}, {"user", "q"}})), "");
  EXPECT_EQ(Why(Chat({{"user", "q"}, {"assistant", "a"}})),
            "samples[3].messages: is no chat: message 2 is the last and has "
            "the role 'assistant'; the model answers a user's");
  EXPECT_EQ(Why(Chat({{"tool", "t"}, {"user", "q"}})),
            "samples[3].messages: is no chat: message 1 has the role 'tool'; "
            "expected system, user or assistant");
  EXPECT_EQ(Why(Chat({{"user", "q"}, {"system", "s"}, {"user", "q"}})),
            "samples[3].messages: is no chat: message 2 is a system prompt; "
            "only the first may be one");
}

TEST(WhyRefusedTest, NulIsRefusedInFieldsAndMessages) {
  const std::string nul("a\0b", 3);
  EXPECT_EQ(Why(Chat({{"user", nul}})),
            "samples[3].messages: holds a NUL character");
  for (const auto& [name, value] :
       {std::pair{nul, std::string("v")}, std::pair{std::string("n"), nul}}) {
    v1::Sample sample = NewSample();
    (*sample.mutable_fields())[name] = value;
    EXPECT_EQ(Why(sample), "samples[3].fields: holds a NUL character");
  }
}

TEST(CheckNewRunTest, ATimeLimitIsAboveNothingAndAtMostALeapYear) {
  v1::CreateRunRequest request;
  request.set_request_id("a");
  request.mutable_config()->set_task("demo");
  EXPECT_TRUE(CheckNewRun(request).ok());
  const auto check = [&](int64_t seconds, int32_t nanos) {
    request.mutable_time_limit()->set_seconds(seconds);
    request.mutable_time_limit()->set_nanos(nanos);
    return std::string(CheckNewRun(request).message());
  };
  EXPECT_EQ(check(0, 1), "");
  EXPECT_EQ(check(366 * 86400, 0), "");
  EXPECT_EQ(check(0, 0), "time_limit: 0 is not above 0");
  EXPECT_EQ(check(-90, 0), "time_limit: -1m30s is not above 0");
  EXPECT_EQ(check(366 * 86400, 1),
            "time_limit: 8784h0.000000001s is more than 366 days; leave it "
            "unset for no limit");
  EXPECT_TRUE(check(INT64_MAX, INT32_MAX).starts_with("time_limit: "));
  EXPECT_TRUE(check(INT64_MIN, INT32_MIN).starts_with("time_limit: "));
}

TEST(CheckTokenizeTest, TheLimitIsInBytesAndNamed) {
  v1::TokenizeRequest request;
  EXPECT_TRUE(CheckTokenize(request).ok());
  request.set_text(std::string(kMaxTokenizeBytes, 'x'));
  EXPECT_TRUE(CheckTokenize(request).ok());
  request.mutable_text()->back() = '\xC3';
  *request.mutable_text() += '\xA9';
  EXPECT_EQ(CheckTokenize(request).message(),
            "text: has 262145 bytes; at most 262144 a call");
}

TEST(CheckTokenizeTest, WhatIsNoTextIsRefused) {
  v1::TokenizeRequest request;
  request.set_text("ab\xFF");
  EXPECT_EQ(CheckTokenize(request).message(), "text: is not UTF-8 at byte 2");
  request.set_text(std::string("a\0", 2));
  EXPECT_EQ(CheckTokenize(request).message(), "text: holds a NUL character");
}

TEST(CompleteDefaultsTest, ATemplateIsOfTaskCustomOnly) {
  RunConfig config = ConfigOf(kCustomTask);
  config.prompt_template = "{title}";
  const auto custom = CompleteDefaults(config, 32768);
  ASSERT_TRUE(custom.ok()) << custom.status();
  EXPECT_EQ(custom->prompt_template, "{title}");
  EXPECT_EQ(custom->max_new_tokens, 256);
  config.task = "hotpotqa";
  EXPECT_EQ(CompleteDefaults(config, 32768).status().message(),
            "config.prompt_template: is of task custom only; hotpotqa has its "
            "own");
}

}  // namespace
}  // namespace kvrecall
