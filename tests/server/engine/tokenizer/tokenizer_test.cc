#include "server/engine/tokenizer/tokenizer.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "tests/server/engine/tokenizer/golden_file.h"

namespace kvrecall {
namespace {

using Ids = std::vector<int64_t>;
using Json = nlohmann::json;

std::unique_ptr<Tokenizer> Parse(const Json& json) {
  auto tokenizer = Tokenizer::Parse(json.dump(), "test");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? std::move(tokenizer).value() : nullptr;
}

Json WithTemplate() {
  Json json = ByteTokenizerJson();
  json["added_tokens"] = {
      {{"id", 256}, {"content", "<s>"}, {"special", true}},
      {{"id", 257}, {"content", "</s>"}, {"special", true}}};
  json["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]},
                       "</s>": {"id": "</s>", "ids": [257],
                                "tokens": ["</s>"]}}})");
  return json;
}

TEST(Tokenizer, TheTemplateIsAddedOnlyIfAskedFor) {
  const auto tokenizer = Parse(WithTemplate());
  EXPECT_EQ(tokenizer->Encode("a"), (Ids{256, 'a', 257}));
  EXPECT_EQ(tokenizer->Encode("a", {.add_special_tokens = false}), (Ids{'a'}));
  EXPECT_EQ(tokenizer->Encode(""), (Ids{256, 257}));
}

TEST(Tokenizer, TextThatSpellsASpecialTokenBecomesIt) {
  const auto tokenizer = Parse(WithTemplate());
  EXPECT_EQ(tokenizer->Encode("a</s>b", {.add_special_tokens = false}),
            (Ids{'a', 257, 'b'}));
}

TEST(Tokenizer, KnowsItsTokens) {
  const auto tokenizer = Parse(WithTemplate());
  EXPECT_EQ(tokenizer->VocabularySize(), 258);
  EXPECT_EQ(tokenizer->TokenToId("<s>"), 256);
  EXPECT_EQ(tokenizer->TokenToId("\u0120"), ' ');
  EXPECT_EQ(tokenizer->TokenToId("absent"), std::nullopt);
  EXPECT_TRUE(tokenizer->IsSpecial(256));
  EXPECT_FALSE(tokenizer->IsSpecial('a'));
  EXPECT_FALSE(tokenizer->IsSpecial(-1));
  EXPECT_EQ(tokenizer->TokenBytes(0xFF), "\xFF");
  EXPECT_EQ(tokenizer->TokenBytes(1 << 30), "");
  EXPECT_EQ(tokenizer->digest().size(), 64u);
}

TEST(Tokenizer, DecodeReplacesAndDecodeBytesDoesNot) {
  const auto tokenizer = Parse(WithTemplate());
  const Ids ids = {256, 'a', 0xE2, 0x82, 9999, 'b'};
  EXPECT_EQ(tokenizer->Decode(ids, true), "a\uFFFDb");
  EXPECT_EQ(tokenizer->Decode(ids, false), "<s>a\uFFFDb");
  EXPECT_EQ(tokenizer->DecodeBytes(ids, true),
            "a\xE2\x82"
            "b");
}

TEST(Tokenizer, IllFormedInputIsReplacedBeforeItIsEncoded) {
  const auto tokenizer = Parse(ByteTokenizerJson());
  EXPECT_EQ(tokenizer->Encode("a\xF0\x9F"), (Ids{'a', 0xEF, 0xBF, 0xBD}));
}

// A quadratic merge or split would take minutes.
TEST(Tokenizer, LongRunsTakeBoundedTime) {
  const auto tokenizer =
      Tokenizer::Load("tests/golden/tokenizer_llama3_style.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto start = std::chrono::steady_clock::now();
  for (const char* unit : {" ", "a", "\n", " \n", "\u3042", "1", "!", "e\u0301",
                           "'", "<|", "<|eot_id|>", " \t"}) {
    std::string text;
    for (int i = 0; i < 100000; ++i) text += unit;
    EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->Encode(text), true),
              text.substr(0, 10) == "<|eot_id|>" ? "" : text);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(Tokenizer, ThreadsThatShareOneGetTheSameIds) {
  const auto tokenizer =
      Tokenizer::Load("tests/golden/tokenizer_gpt2_style.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i)
    texts.push_back("sentence " + std::to_string(i * i) +
                    " of caf\u00E9 <mask>");
  std::vector<std::vector<Ids>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (const auto& text : texts)
        result.push_back((*tokenizer)->Encode(text));
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

}  // namespace
}  // namespace kvrecall
