#include "client/custom_samples.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class CustomSamplesTest : public testing::Test {
 protected:
  std::string Write(const std::string& content) {
    const std::string path = folder_.File("file");
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  absl::StatusOr<std::vector<Sample>> Read(const CustomSource& source,
                                           const std::string& own = "") {
    return ReadCustomSamples(source, own, input_);
  }
  absl::StatusOr<std::vector<Sample>> ReadLines(const std::string& lines,
                                                const std::string& own = "") {
    return Read({.prompt = "", .jsonl = Write(lines)}, own);
  }
  // Of a refusal of what the user gave.
  static std::string Complaint(
      const absl::StatusOr<std::vector<Sample>>& samples) {
    EXPECT_TRUE(absl::IsInvalidArgument(samples.status())) << samples.status();
    return std::string(samples.status().message());
  }

  TempDir folder_;
  std::istringstream input_;
};

TEST_F(CustomSamplesTest, AFileIsOnePrompt) {
  const std::string text = "One {input}.\n\nTwo.\n";
  const auto samples = Read({.prompt = Write(text), .jsonl = ""});
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_EQ(samples->size(), 1u);
  EXPECT_EQ((*samples)[0].input, text);
  EXPECT_THAT((*samples)[0].answers, IsEmpty());
}

TEST_F(CustomSamplesTest, APromptsIdIsOfItsText) {
  const auto id = [this](const std::string& text) {
    return Read({.prompt = Write(text), .jsonl = ""})->at(0).id;
  };
  EXPECT_EQ(id("a"), "ca978112ca1bbdca");  // SHA-256 of "a", cut
  EXPECT_NE(id("a"), id("b"));
}

TEST_F(CustomSamplesTest, StandardInputIsAPromptToo) {
  input_.str("Who?\n");
  EXPECT_EQ(Read({.prompt = "-", .jsonl = ""})->at(0).input, "Who?\n");
  EXPECT_EQ(Complaint(Read({.prompt = "-", .jsonl = ""})),
            "standard input: is empty");
}

TEST_F(CustomSamplesTest, APromptWithNulIsRefused) {
  const std::string path = Write(std::string("a\0b", 3));
  EXPECT_EQ(Complaint(Read({.prompt = path, .jsonl = ""})),
            path + ": holds a NUL character");
}

TEST_F(CustomSamplesTest, LinesAreSamplesInTheirOrder) {
  const auto samples = ReadLines(
      "{\"_id\":\"b\",\"input\":\"q\"}\n"
      "{\"_id\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_EQ(samples->size(), 2u);
  EXPECT_EQ((*samples)[0].id, "b");
  EXPECT_THAT((*samples)[1].messages, ElementsAre(ChatMessage{"user", "x"}));
}

TEST_F(CustomSamplesTest, ABadLineIsNamedByFileAndNumber) {
  EXPECT_THAT(Complaint(ReadLines("{\"input\":\"q\"}\n{\"input\":1}\n")),
              HasSubstr("file:2: field 'input'"));
  EXPECT_THAT(Complaint(ReadLines("\n")), HasSubstr("holds no samples"));
  EXPECT_TRUE(absl::IsNotFound(
      Read({.prompt = "", .jsonl = folder_.File("none")}).status()));
}

// At once, not sample by sample when the run is under way.
TEST_F(CustomSamplesTest, ATemplateMustFitEverySample) {
  const std::string lines =
      "{\"_id\":\"a\",\"title\":\"x\"}\n{\"_id\":\"b\",\"name\":\"y\"}\n";
  EXPECT_EQ(Complaint(ReadLines(lines, "Of {title}")),
            "the template names {title}, and sample 'b' has no such field; it "
            "has context, input, name");
  EXPECT_TRUE(ReadLines(lines, "Of {input}").ok());
}

TEST_F(CustomSamplesTest, AChatNeedsNoTemplateAndIsNotHeldToOne) {
  const std::string chat =
      "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
  EXPECT_TRUE(ReadLines(chat).ok());
  EXPECT_TRUE(ReadLines(chat, "Of {title}").ok());
}

TEST_F(CustomSamplesTest, WithoutATemplateASampleIsItsInputAlone) {
  EXPECT_THAT(
      Complaint(ReadLines("{\"_id\":\"a\",\"input\":\"q\",\"context\":\"c\"}")),
      StartsWith("sample 'a' has a context; say with --template what the "
                 "prompt is"));
  EXPECT_THAT(Complaint(ReadLines("{\"_id\":\"a\",\"title\":\"t\"}")),
              StartsWith("sample 'a' has no input and no messages; say with "
                         "--template"));
}

TEST_F(CustomSamplesTest, ATemplateIsTextOrAFilesContent) {
  EXPECT_EQ(*ReadTemplate("Of {title}"), "Of {title}");
  EXPECT_EQ(*ReadTemplate(""), "");
  EXPECT_EQ(*ReadTemplate("a@b"), "a@b");
  EXPECT_EQ(*ReadTemplate("@" + Write("{input}\n")), "{input}\n");
}

TEST_F(CustomSamplesTest, ATemplateFileThatThereIsNotIsNamed) {
  const absl::Status none = ReadTemplate("@" + folder_.File("none")).status();
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_THAT(std::string(none.message()), HasSubstr("none: no such file"));
  EXPECT_EQ(ReadTemplate("@").status().message(),
            "--template @: name the file behind the @");
  EXPECT_EQ(ReadTemplate("@-").status().message(),
            "--template @-: a template is read from a file");
}

}  // namespace
}  // namespace kvrecall
