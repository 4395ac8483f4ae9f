#include "common/longbench/jsonl.h"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/longbench/unicode.h"
#include "tests/common/base/unprivileged.h"

namespace kvrecall {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr char kFull[] =
    R"({"input": "Who?", "context": "Passage 1:\nŁódź", "answers": ["A", "B"],)"
    R"( "length": 7, "dataset": "musique", "language": "en",)"
    R"( "all_classes": null, "_id": "id1", "hops": [1, {"x": 2}]})";

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

std::string ParseError(std::string_view line) {
  const auto sample = ParseSample(line);
  EXPECT_EQ(sample.status().code(), absl::StatusCode::kInvalidArgument) << line;
  return Message(sample.status());
}

TEST(ParseSampleTest, ReadsEveryFieldAndIgnoresOthers) {
  const auto sample = ParseSample(kFull);
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->id, "id1");
  EXPECT_EQ(sample->dataset, "musique");
  EXPECT_EQ(sample->input, "Who?");
  EXPECT_EQ(sample->context, "Passage 1:\nŁódź");
  EXPECT_THAT(sample->answers, ElementsAre("A", "B"));
  EXPECT_EQ(sample->length, 7);
  EXPECT_EQ(sample->language, "en");
  EXPECT_THAT(sample->all_classes, IsEmpty());
}

TEST(ParseSampleTest, ThreeFieldsAreEnough) {
  const auto sample =
      ParseSample(R"({"input": "", "context": "", "answers": []})");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->length, 0);
  EXPECT_EQ(sample->id.size(), 48u);
}

TEST(ParseSampleTest, ReadsTheClassesOfAClassificationTask) {
  const auto sample = ParseSample(
      R"({"input":"q","context":"c","answers":["x"],"all_classes":["x","y"]})");
  EXPECT_THAT(sample->all_classes, ElementsAre("x", "y"));
}

TEST(ParseSampleTest, ReadsTheTextThatIsToBeForced) {
  const auto forced = [](const std::string& field) {
    return ParseSample(R"({"input":"q","context":"c","answers":[])" + field +
                       "}")
        ->forced_text;
  };
  EXPECT_EQ(forced(""), std::nullopt);
  EXPECT_EQ(forced(R"(,"forced_text":null)"), std::nullopt);
  EXPECT_EQ(forced(R"(,"forced_text":"")"), "");
  EXPECT_EQ(forced(R"(,"forced_text":" Łódź")"), " Łódź");
}

TEST(ParseSampleTest, ADerivedIdDependsOnTheContentOnly) {
  const auto id = [](std::string_view line) { return ParseSample(line)->id; };
  const std::string first =
      id(R"({"input": "q", "context": "c", "answers": ["x"]})");
  EXPECT_EQ(first, id(R"({"answers":["x"],"input":"q","context":"c","_id":)"
                      R"(null,"length":3})"));
  EXPECT_NE(first, id(R"({"input": "qc", "context": "", "answers": ["x"]})"));
  EXPECT_NE(first, id(R"({"input": "q", "context": "c", "answers": ["y"]})"));
}

TEST(ParseSampleTest, NamesTheMissingField) {
  EXPECT_EQ(ParseError(R"({"context": "c", "answers": []})"),
            "field 'input' is missing; expected a string");
  EXPECT_EQ(ParseError(R"({"input": "q", "answers": []})"),
            "field 'context' is missing; expected a string");
  EXPECT_EQ(ParseError(R"({"input": "q", "context": "c"})"),
            "field 'answers' is missing; expected a list of strings");
  EXPECT_EQ(ParseError(R"({"input": null, "context": "c"})"),
            "field 'input' is null; expected a string");
}

TEST(ParseSampleTest, NamesTheFieldOfTheWrongType) {
  const auto with = [](const std::string& field) {
    return ParseError(R"({"input":"q","context":"c","answers":["x"],)" + field +
                      "}");
  };
  EXPECT_THAT(with(R"("input": 5)"),
              AllOf(HasSubstr("'input'"), HasSubstr("number")));
  EXPECT_THAT(with(R"("answers": "x")"), HasSubstr("'answers'"));
  EXPECT_THAT(with(R"("answers": ["x", 1])"), HasSubstr("'answers'"));
  EXPECT_THAT(with(R"("length": "7")"), HasSubstr("'length'"));
  EXPECT_THAT(with(R"("length": -1)"), HasSubstr("'length'"));
  EXPECT_THAT(with(R"("length": 1.5)"), HasSubstr("'length'"));
  EXPECT_THAT(with(R"("length": 18446744073709551615)"), HasSubstr("'length'"));
  EXPECT_THAT(with(R"("_id": 3)"), HasSubstr("'_id'"));
  EXPECT_EQ(with(R"("_id": "")"), "field '_id' is empty");
  EXPECT_THAT(with(R"("dataset": [])"), HasSubstr("'dataset'"));
  EXPECT_THAT(with(R"("language": {})"), HasSubstr("'language'"));
  EXPECT_THAT(with(R"("all_classes": {})"), HasSubstr("'all_classes'"));
  EXPECT_THAT(with(R"("forced_text": ["x"])"), HasSubstr("'forced_text'"));
  EXPECT_THAT(ParseError("[1]"), HasSubstr("expected a JSON object"));
}

TEST(ParseSampleTest, RefusesNulHoweverItIsWritten) {
  EXPECT_THAT(ParseError(std::string("{\"input\": \"a\0b\"}", 16)),
              HasSubstr("embedded NUL at byte 13"));
  EXPECT_EQ(
      ParseError(R"({"input": "q", "context": "a\u0000b", "answers": []})"),
      "field 'context' contains a NUL character");
}

TEST(ParseSampleTest, RefusesInvalidUtf8AndLoneSurrogates) {
  EXPECT_EQ(ParseError("{\"input\": \"a\xFF\"}"), "invalid UTF-8 at byte 13");
  EXPECT_THAT(ParseError(R"({"input": "\ud800"})"), HasSubstr("invalid JSON"));
}

TEST(ParseSampleTest, SaysWhatIsWrongWithTheJsonInShort) {
  const std::string message =
      ParseError("{\"input\": \"" + std::string(100'000, 'x'));
  EXPECT_THAT(message, AllOf(HasSubstr("invalid JSON at byte 100012"),
                             HasSubstr("missing closing quote")));
  EXPECT_LT(message.size(), 200u);
  EXPECT_THAT(ParseError(""), HasSubstr("unexpected end of input"));
  EXPECT_THAT(ParseError(R"({"length": 1e999})"), HasSubstr("invalid JSON"));
  ParseError(std::string(200'000, '['));
}

absl::StatusOr<Sample> ParseFree(std::string_view line) {
  return ParseSample(line, SampleSchema::kFree);
}

std::string FreeError(std::string_view line) {
  const auto sample = ParseFree(line);
  EXPECT_EQ(sample.status().code(), absl::StatusCode::kInvalidArgument) << line;
  return Message(sample.status());
}

TEST(ParseFreeSampleTest, NothingIsRequired) {
  const auto sample = ParseFree("{}");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->input, "");
  EXPECT_EQ(sample->context, "");
  EXPECT_THAT(sample->answers, IsEmpty());
  EXPECT_THAT(sample->fields, IsEmpty());
  EXPECT_FALSE(sample->id.empty());
}

TEST(ParseFreeSampleTest, TheFieldsOfEverySampleAreReadAsEver) {
  const auto sample = ParseFree(kFull);
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->id, "id1");
  EXPECT_EQ(sample->context, "Passage 1:\nŁódź");
  EXPECT_THAT(sample->answers, ElementsAre("A", "B"));
  EXPECT_EQ(sample->length, 7);
  EXPECT_THAT(sample->fields, IsEmpty()) << "lists are not text";
  EXPECT_THAT(FreeError(R"({"input": 5})"), HasSubstr("'input'"));
  EXPECT_THAT(FreeError(R"({"answers": "x"})"), HasSubstr("'answers'"));
}

TEST(ParseFreeSampleTest, StringsAndNumbersUnderNamesOfTheirOwnAreFields) {
  const auto sample = ParseFree(
      R"({"title":"Łódź","year":1423,"list":[1],"yes":true,"no":null,)"
      R"("object":{"a":"b"},"empty":""})");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_THAT(sample->fields,
              ElementsAre(Pair("empty", ""), Pair("title", "Łódź"),
                          Pair("year", "1423")));
}

TEST(ParseFreeSampleTest, NumbersAreKeptAsTheyAreWritten) {
  const auto sample = ParseFree(
      R"({"a":0.10,"b":1e3,"c":-7,"d":12345678901234567890123,"e":1.5E-2,)"
      R"("f":1.0,"g":18446744073709551615,"in":{"a":2.50},"list":[3.50]})");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_THAT(
      sample->fields,
      ElementsAre(Pair("a", "0.10"), Pair("b", "1e3"), Pair("c", "-7"),
                  Pair("d", "12345678901234567890123"), Pair("e", "1.5E-2"),
                  Pair("f", "1.0"), Pair("g", "18446744073709551615")));
  EXPECT_THAT(ParseFree(R"({"a":1.50,"a":"x"})")->fields,
              ElementsAre(Pair("a", "x")));
  EXPECT_THAT(ParseFree(R"({"a":"x","a":2.50,"a":1.50})")->fields,
              ElementsAre(Pair("a", "1.50")));
}

TEST(ParseFreeSampleTest, AFieldOfItsOwnIsNoTextWithNul) {
  EXPECT_EQ(FreeError(R"({"title": "a\u0000b"})"),
            "field 'title' contains a NUL character");
}

// Only samples of anybody's have them: a line of LongBench's may hold anything.
TEST(ParseFreeSampleTest, OtherSamplesHaveNoFieldsUnderNamesOfTheirOwn) {
  const auto sample = ParseSample(
      R"({"input":"q","context":"c","answers":[],"title":"t","year":1})");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_THAT(sample->fields, IsEmpty());
}

TEST(ParseFreeSampleTest, ADerivedIdDependsOnFieldsAndMessages) {
  const auto id = [](std::string_view line) { return ParseFree(line)->id; };
  const std::set<std::string> ids = {
      id("{}"),
      id(R"({"a":"1"})"),
      id(R"({"a":"2"})"),
      id(R"({"b":"1"})"),
      id(R"({"a":"1","b":""})"),
      id(R"({"ab":"1"})"),
      id(R"({"messages":[{"role":"user","content":"x"}]})"),
      id(R"({"messages":[{"role":"user","content":"y"}]})"),
      id(R"({"messages":[{"role":"user","content":"x"},)"
         R"({"role":"user","content":"x"}]})"),
      id(R"({"messages":[{"role":"assistant","content":"x"},)"
         R"({"role":"user","content":"x"}]})")};
  EXPECT_EQ(ids.size(), 10u);
  EXPECT_EQ(id(R"({"a":"1","b":"2"})"), id(R"({"fields":{"b":"2"},"a":"1"})"));
}

TEST(ParseSampleTest, ReadsFieldsThatAreAnObjectOfStrings) {
  const auto with = [](const std::string& fields) {
    return ParseSample(R"({"input":"","context":"","answers":[],"fields":)" +
                       fields + "}");
  };
  EXPECT_THAT(with(R"({"b":"2","a":"Ł"})")->fields,
              ElementsAre(Pair("a", "Ł"), Pair("b", "2")));
  EXPECT_THAT(with("null")->fields, IsEmpty());
  EXPECT_THAT(with("{}")->fields, IsEmpty());
  EXPECT_EQ(Message(with(R"([["a","b"]])").status()),
            "field 'fields' is of type array; expected an object of strings");
  EXPECT_EQ(Message(with(R"({"a":1})").status()),
            "field 'fields' holds a value of type number; expected strings");
  EXPECT_EQ(Message(with(R"({"a":"\u0000"})").status()),
            "field 'fields' contains a NUL character");
}

absl::StatusOr<Sample> WithMessages(const std::string& messages) {
  return ParseFree(R"({"messages":)" + messages + "}");
}

TEST(ParseSampleTest, ReadsAChat) {
  const auto sample =
      WithMessages(R"([{"role":"system","content":"Be brief."},)"
                   R"({"role":"user","content":"a\nb","name":"ignored"}])");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_THAT(sample->messages, ElementsAre(ChatMessage{"system", "Be brief."},
                                            ChatMessage{"user", "a\nb"}));
  EXPECT_THAT(WithMessages("null")->messages, IsEmpty());
}

TEST(ParseSampleTest, SaysWhyMessagesAreNoChat) {
  const auto complaint = [](const std::string& messages) {
    const absl::Status status = WithMessages(messages).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << messages;
    return Message(status);
  };
  for (const char* messages :
       {"[]", "{}", R"("user: hello")", "[1]", R"([{"role":"user"}])",
        R"([{"content":"a"}])", R"(["user","hello"])"}) {
    EXPECT_EQ(complaint(messages),
              "field 'messages' is not a list of objects with role and "
              "content");
  }
  EXPECT_EQ(complaint(R"([{"role":1,"content":"a"}])"),
            "field 'messages' holds a value of type number; expected roles as "
            "strings");
  EXPECT_EQ(complaint(R"([{"role":"user","content":[{"type":"text"}]}])"),
            "field 'messages' holds a value of type array; expected contents "
            "as strings");
  EXPECT_EQ(complaint(R"([{"role":"user","content":null}])"),
            "field 'messages' holds a value of type null; expected contents as "
            "strings");
  EXPECT_EQ(complaint(R"([{"role":"user","content":"\u0000"}])"),
            "field 'messages' contains a NUL character");
  EXPECT_EQ(complaint(R"([{"role":"tool","content":"a"}])"),
            "field 'messages' is no chat: message 1 has the role 'tool'; "
            "expected system, user or assistant");
}

TEST(ParseSampleTest, ArbitraryBytesAreRefusedOrGiveCleanText) {
  std::mt19937_64 rng(5);
  const std::string seed = kFull;
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string line = seed;
    for (size_t edits = 1 + rng() % 3; edits > 0 && !line.empty(); --edits) {
      const size_t at = rng() % line.size();
      switch (rng() % 4) {
        case 0:
          line[at] = static_cast<char>(rng());
          break;
        case 1:
          line.erase(at, 1 + rng() % 8);
          break;
        case 2:
          line.insert(at, seed, rng() % seed.size(), rng() % 8);
          break;
        default:
          line.resize(at);
      }
    }
    const auto sample = ParseSample(line);
    if (!sample.ok()) {
      EXPECT_FALSE(sample.status().message().empty());
      continue;
    }
    ++accepted;
    for (const std::string& text :
         {sample->id, sample->input, sample->context, sample->language}) {
      EXPECT_FALSE(FirstInvalidUtf8(text).has_value());
      EXPECT_EQ(text.find('\0'), std::string::npos);
    }
    EXPECT_FALSE(sample->id.empty());
  }
  EXPECT_GT(accepted, 100);
}

class ReadSamplesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/kvrecall_jsonl_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/samples.jsonl";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<std::vector<Sample>> Read(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return ReadSamples(path_);
  }

  std::string folder_, path_;
};

std::string Line(const std::string& id) {
  return R"({"input": "q", "context": "c", "answers": ["x"], "_id": ")" + id +
         "\"}";
}

TEST_F(ReadSamplesTest, ReadsLinesInOrderWithOrWithoutALastLineEnd) {
  for (const char* end : {"", "\n"}) {
    const auto samples = Read(Line("a") + "\n" + Line("b") + end);
    ASSERT_TRUE(samples.ok()) << samples.status();
    ASSERT_EQ(samples->size(), 2u);
    EXPECT_EQ((*samples)[0].id, "a");
    EXPECT_EQ((*samples)[1].id, "b");
  }
}

TEST_F(ReadSamplesTest, ToleratesAByteOrderMarkCrLfAndBlankLines) {
  const auto samples =
      Read("\xEF\xBB\xBF" + Line("a") + "\r\n\r\n \t\n" + Line("b") + "\r\n\n");
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_EQ(samples->size(), 2u);
}

TEST_F(ReadSamplesTest, ABadLineIsNamedByFileAndNumber) {
  const auto samples = Read(Line("a") + "\n\n{\"input\": \"q\"}\n");
  EXPECT_EQ(samples.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(samples.status()),
            path_ + ":3: field 'context' is missing; expected a string");
}

TEST_F(ReadSamplesTest, AFileIsNamedAsTheCallerNamesIt) {
  EXPECT_FALSE(Read(Line("a") + "\n" + Line("a")).ok());
  EXPECT_EQ(Message(ReadSamples(path_, "a.zip: b").status()),
            "a.zip: b:2: id 'a' is that of line 1 already");
  EXPECT_FALSE(Read("\n").ok());
  EXPECT_THAT(Message(ReadSamples(path_, "a.zip: b").status()),
              StartsWith("a.zip: b: holds no samples"));
}

TEST_F(ReadSamplesTest, ACutOffLastLineIsAnError) {
  const auto samples = Read(Line("a") + "\n" + Line("b").substr(0, 30));
  EXPECT_THAT(Message(samples.status()), HasSubstr(":2: invalid JSON at byte"));
}

TEST_F(ReadSamplesTest, TheSameIdTwiceNamesBothLines) {
  const auto samples = Read(Line("a") + "\n" + Line("b") + "\n" + Line("a"));
  EXPECT_EQ(Message(samples.status()),
            path_ + ":3: id 'a' is that of line 1 already");
}

TEST_F(ReadSamplesTest, TheSameContentTwiceWithoutIdIsADuplicate) {
  const std::string line = R"({"input":"q","context":"c","answers":["x"]})";
  EXPECT_THAT(Message(Read(line + "\n" + line).status()),
              EndsWith("is that of line 1 already"));
}

TEST_F(ReadSamplesTest, AFileWithoutSamplesIsAnError) {
  for (const char* content : {"", "\n \r\n", "\xEF\xBB\xBF"}) {
    EXPECT_THAT(Message(Read(content).status()), HasSubstr("no samples"));
  }
}

TEST_F(ReadSamplesTest, SamplesOfAnybodysNeedNoIdAndAreNamedByTheirLine) {
  std::ofstream(path_) << "{\"q\":\"a\"}\n{\"q\":\"b\"}\n";
  const auto samples = ReadSamples(path_, SampleSchema::kFree);
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_EQ(samples->size(), 2u);
  EXPECT_EQ((*samples)[1].fields.at("q"), "b");
  std::ofstream(path_) << "{\"q\":\"a\"}\n{\"messages\":[]}\n";
  EXPECT_THAT(Message(ReadSamples(path_, SampleSchema::kFree).status()),
              HasSubstr(path_ + ":2: field 'messages' is not a list"));
}

TEST_F(ReadSamplesTest, SaysWhyAFileCannotBeRead) {
  const auto missing = ReadSamples(folder_ + "/none.jsonl");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(missing.status()), EndsWith("none.jsonl: no such file"));
  const auto folder = ReadSamples(folder_);
  EXPECT_EQ(folder.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(folder.status()), HasSubstr("is a directory"));
  EXPECT_FALSE(ReadSamples("").ok());
}

TEST_F(ReadSamplesTest, SaysThatAFileIsNotPermitted) {
  ASSERT_TRUE(Read(Line("a")).ok());
  std::filesystem::permissions(path_, std::filesystem::perms::none);
  std::filesystem::permissions(folder_, std::filesystem::perms(0755));
  const Unprivileged user;
  EXPECT_EQ(ReadSamples(path_).status().code(),
            absl::StatusCode::kPermissionDenied);
}

class ReadTextsTest : public ReadSamplesTest {
 protected:
  absl::StatusOr<std::map<std::string, std::string>> Texts(
      const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return ReadTexts(path_);
  }
};

TEST_F(ReadTextsTest, GivesTheTextsByIdAndIgnoresOtherFields) {
  const auto texts = Texts(R"({"_id":"b","text":"two\n","more":1})"
                           "\n\n"
                           R"({"text":"","_id":"a"})");
  ASSERT_TRUE(texts.ok()) << texts.status();
  EXPECT_THAT(*texts,
              ElementsAre(testing::Pair("a", ""), testing::Pair("b", "two\n")));
}

TEST_F(ReadTextsTest, ABadLineIsNamedByFileAndNumber) {
  EXPECT_EQ(Message(Texts(R"({"_id":"a"})").status()),
            path_ + ":1: field 'text' is missing; expected a string");
  EXPECT_EQ(Message(Texts(R"({"text":"t"})").status()),
            path_ + ":1: field '_id' is missing; expected a string");
  const std::string line = R"({"_id":"a","text":"t"})";
  EXPECT_EQ(Message(Texts(line + "\n" + line).status()),
            path_ + ":2: id 'a' is that of line 1 already");
  EXPECT_THAT(Message(Texts("\n").status()), HasSubstr("no texts"));
  EXPECT_EQ(ReadTexts(folder_ + "/none.jsonl").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace kvrecall
