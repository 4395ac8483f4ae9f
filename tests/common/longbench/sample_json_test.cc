#include "common/longbench/sample_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

Sample FullSample(const std::string& id) {
  Sample sample;
  sample.id = id;
  sample.dataset = "hotpotqa";
  sample.input = "Who?";
  sample.context = "Line one.\n\"Quoted\" ünïcode.";
  sample.answers = {"Ada", ""};
  sample.length = 4;
  sample.language = "en";
  return sample;
}

TEST(SampleJsonTest, ParseSampleReadsItBack) {
  Sample sample = FullSample("id/1");
  sample.all_classes = {"a", "b"};
  const auto json = SampleToJson(sample);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto back = ParseSample(*json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->id, sample.id);
  EXPECT_EQ(back->dataset, sample.dataset);
  EXPECT_EQ(back->input, sample.input);
  EXPECT_EQ(back->context, sample.context);
  EXPECT_EQ(back->answers, sample.answers);
  EXPECT_EQ(back->length, sample.length);
  EXPECT_EQ(back->language, sample.language);
  EXPECT_EQ(back->all_classes, sample.all_classes);
  EXPECT_EQ(back->forced_text, std::nullopt);
  sample.forced_text = "Ada \"L\"\n";
  EXPECT_EQ(ParseSample(SampleToJson(sample).value())->forced_text,
            sample.forced_text);
  sample.forced_text = "";
  EXPECT_EQ(ParseSample(SampleToJson(sample).value())->forced_text, "");
}

TEST(SampleJsonTest, FieldsAndMessagesAreReadBack) {
  Sample sample;
  sample.id = "mine";
  sample.fields = {{"", "nameless"}, {"title", "\"Ułysses\"\n"}, {"n", "0.10"}};
  sample.messages = {{"system", ""}, {"user", "a\n<|im_end|>"}};
  const auto json = SampleToJson(sample);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto back = ParseSample(*json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->fields, sample.fields);
  EXPECT_EQ(back->messages, sample.messages);
  EXPECT_EQ(ParseSample(SampleToJson(FullSample("a")).value())->messages,
            std::vector<ChatMessage>());
}

TEST(SampleJsonTest, WhatCouldNotBeReadBackIsRefused) {
  Sample no_id = FullSample("");
  Sample nul = FullSample("nul");
  nul.answers.push_back(std::string("a\0", 2));
  Sample bytes = FullSample("bytes");
  bytes.context = "\xff";
  Sample negative = FullSample("negative");
  negative.length = -1;
  Sample forced = FullSample("forced");
  forced.forced_text = std::string("\0", 1);
  const std::string with_nul("a\0", 2);
  Sample name = FullSample("name");
  name.fields[with_nul] = "value";
  Sample value = FullSample("value");
  value.fields["name"] = with_nul;
  Sample role = FullSample("role");
  role.messages = {{with_nul, ""}, {"user", ""}};
  Sample content = FullSample("content");
  content.messages = {{"user", with_nul}};
  Sample field_bytes = FullSample("field bytes");
  field_bytes.fields["name"] = "\xff";
  for (const Sample& sample : {no_id, nul, bytes, negative, forced, name, value,
                               role, content, field_bytes}) {
    const absl::Status status = SampleToJson(sample).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(sample.id));
  }
}

TEST(SampleJsonTest, ItsPlaceIsNoPartOfASample) {
  Sample sample = FullSample("a");
  const std::string json = SampleToJson(sample).value();
  sample.ordinal = 7;
  EXPECT_EQ(SampleToJson(sample).value(), json);
}

}  // namespace
}  // namespace kvrecall
