#include "common/longbench/prompt.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

// One token a byte; token 0 is special.
std::vector<int64_t> Encode(std::string_view text) {
  return std::vector<int64_t>(text.begin(), text.end());
}

std::string Decode(std::span<const int64_t> ids) {
  std::string text;
  for (int64_t id : ids) {
    if (id != 0) text.push_back(static_cast<char>(id));
  }
  return text;
}

Task WithTemplate(std::string_view prompt_template) {
  Task task = AllTasks().front();
  task.prompt_template = prompt_template;
  return task;
}

Sample MakeSample(std::string context, std::string input) {
  Sample sample;
  sample.context = std::move(context);
  sample.input = std::move(input);
  return sample;
}

TEST(FillTemplateTest, PutsContextAndQuestionWhereLongBenchDoes) {
  const Sample sample = MakeSample("Passage 1:\nX is Y.", "What is X?");
  EXPECT_EQ(FillTemplate(**FindTask("demo"), sample),
            "Answer the question from the passages. Write each fact that you "
            "use, then the answer.\n\nPassage 1:\nX is Y.\n\nQuestion: What is "
            "X?\nAnswer:");
}

TEST(FillTemplateTest, BracesOfTheSampleStayAsTheyAre) {
  const Sample sample =
      MakeSample("{input} {context} {} {{x}} {", "}{context}");
  EXPECT_EQ(FillTemplate(WithTemplate("[{context}|{input}]"), sample),
            "[{input} {context} {} {{x}} {|}{context}]");
}

TEST(FillTemplateTest, ReplacesEachOccurrenceAndNothingElse) {
  const Sample sample = MakeSample("C", "I");
  EXPECT_EQ(
      FillTemplate(WithTemplate("{input}{input}{other}{{context}{con"), sample),
      "II{other}{C{con");
  EXPECT_EQ(FillTemplate(WithTemplate(""), sample), "");
  EXPECT_EQ(FillTemplate(WithTemplate("{"), sample), "{");
}

// What a template of the user's own becomes for a sample with a field "name".
absl::StatusOr<std::string> FillOwn(std::string_view prompt_template) {
  Sample sample = MakeSample("C", "I");
  sample.id = "s7";
  sample.fields = {{"name", "Ada"}, {"_2", "{input} {name}"}};
  return FillOwnTemplate(prompt_template, sample);
}

TEST(FillOwnTemplateTest, PutsEveryFieldWhereItIsNamed) {
  EXPECT_EQ(*FillOwn("{context}|{input}|{name}|{name}{context}"),
            "C|I|Ada|AdaC");
  EXPECT_EQ(*FillOwn("no field at all"), "no field at all");
  EXPECT_EQ(*FillOwn(""), "");
}

TEST(FillOwnTemplateTest, AFilledInValueIsNotReadAgain) {
  EXPECT_EQ(*FillOwn("{_2}{input}"), "{input} {name}I");
}

TEST(FillOwnTemplateTest, BracesAroundWhatIsNoNameAreText) {
  for (const char* text :
       {"{}", "{ }", "{ name }", "{name", "name}", "{na-me}", "{2name}",
        "{\"name\": 1}", "{", "}", "{ü}", "{{", "}{", "{\n}", "{a.b}"}) {
    EXPECT_EQ(*FillOwn(text), text);
  }
  EXPECT_EQ(*FillOwn("{{name}}"), "{Ada}");
  EXPECT_EQ(*FillOwn("{x {name}"), "{x Ada");
}

TEST(FillOwnTemplateTest, AnUnknownNameIsToldWhatThereIs) {
  const absl::Status status = FillOwn("{input} {Name}").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(status.message(),
            "the template names {Name}, and sample 's7' has no such field; it "
            "has context, input, _2, name");
}

// The names of the sample's own fields do not hide those of every sample.
TEST(FillOwnTemplateTest, InputAndContextAreAlwaysTheSamples) {
  Sample sample = MakeSample("C", "");
  sample.fields = {{"input", "field"}, {"context", "field"}};
  EXPECT_EQ(*FillOwnTemplate("{context}{input}", sample), "C");
}

TEST(TruncateMiddleTest, APromptWithinTheLimitIsKeptAsItIs) {
  // Decoding would drop the special token: the text is not decoded at all.
  const std::string prompt("ab\0cd", 5);
  const auto result = TruncateMiddle(prompt, 5, Encode, Decode);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->text, prompt);
  EXPECT_EQ(result->raw_tokens, 5);
  EXPECT_FALSE(result->truncated);
}

TEST(TruncateMiddleTest, KeepsBothEndsAndTheQuestionWithThem) {
  const auto result =
      TruncateMiddle("first................last", 10, Encode, Decode);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->text, "first.last");
  EXPECT_EQ(result->raw_tokens, 25);
  EXPECT_TRUE(result->truncated);
}

TEST(TruncateMiddleTest, AnOddLimitKeepsOneTokenLess) {
  EXPECT_EQ(TruncateMiddle("abcdefgh", 5, Encode, Decode)->text, "abgh");
}

TEST(TruncateMiddleTest, SpecialTokensAreSkippedInWhatIsDecoded) {
  const std::string prompt("a\0bcdef\0h", 9);
  EXPECT_EQ(TruncateMiddle(prompt, 4, Encode, Decode)->text, "ah");
}

TEST(TruncateMiddleTest, DecodesTheHalvesApart) {
  // Together these two would be another text.
  const auto decode = [](std::span<const int64_t> ids) {
    return absl::StrCat("<", Decode(ids), ">");
  };
  EXPECT_EQ(TruncateMiddle("abcdef", 4, Encode, decode)->text, "<ab><ef>");
}

TEST(TruncateMiddleTest, EqualsTheSlowTwinForEveryShortPrompt) {
  for (size_t n = 0; n < 20; ++n) {
    std::string prompt;
    for (size_t i = 0; i < n; ++i) prompt.push_back(static_cast<char>('a' + i));
    for (int64_t limit = 2; limit < 22; ++limit) {
      std::string want;
      for (size_t i = 0; i < n; ++i) {
        const size_t half = static_cast<size_t>(limit) / 2;
        const bool all = n <= static_cast<size_t>(limit);
        if (all || i < half || i >= n - half) want.push_back(prompt[i]);
      }
      const auto result = TruncateMiddle(prompt, limit, Encode, Decode);
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(result->text, want);
      EXPECT_EQ(result->truncated, want != prompt);
    }
  }
}

TEST(TruncateMiddleTest, RefusesALimitThatLeavesNothing) {
  for (int64_t limit : {-5, 0, 1}) {
    EXPECT_EQ(TruncateMiddle("abc", limit, Encode, Decode).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(DefaultPromptLimitTest, IsLongBenchsWhereTheWindowAllowsIt) {
  EXPECT_EQ(*DefaultPromptLimit(131072, 32), 31500);
  EXPECT_EQ(*DefaultPromptLimit(32768, 32), 31500);
  EXPECT_EQ(*DefaultPromptLimit(32768, 1024), 32768 - 1024 - 512);
  EXPECT_EQ(*DefaultPromptLimit(2048, 96), 1440);
}

TEST(DefaultPromptLimitTest, RefusesAWindowWithoutRoomForAPrompt) {
  EXPECT_EQ(*DefaultPromptLimit(546, 32), 2);
  EXPECT_EQ(DefaultPromptLimit(544, 32).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(DefaultPromptLimit(100, 32).ok());
}

}  // namespace
}  // namespace kvrecall
