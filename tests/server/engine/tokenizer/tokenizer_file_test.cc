#include "server/engine/tokenizer/tokenizer_file.h"

#include <chrono>
#include <functional>

#include <gtest/gtest.h>

#include "server/engine/tokenizer/tokenizer.h"
#include "tests/server/engine/tokenizer/golden_file.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

absl::Status StatusOf(const std::function<void(Json&)>& edit) {
  Json json = ByteTokenizerJson();
  edit(json);
  return Tokenizer::Parse(json.dump(), "model/tokenizer.json").status();
}

TEST(TokenizerFile, TheUneditedFileLoads) {
  EXPECT_TRUE(StatusOf([](Json&) {}).ok());
}

TEST(TokenizerFile, AMissingFileIsNotFoundAndNamed) {
  const auto tokenizer = Tokenizer::Load("/nonexistent/model");
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(tokenizer.status().message().find("/nonexistent/model"),
            absl::string_view::npos);
}

TEST(TokenizerFile, TextThatIsNoTokenizerIsInvalid) {
  for (const char* text : {"", "{", "[]", "\"x\"", "{}", "{\"model\": 3}",
                           "{\"model\": {\"type\": \"BPE\"}}", "\xFF\xFE"}) {
    const auto status = Tokenizer::Parse(text, "t.json").status();
    EXPECT_FALSE(status.ok()) << text;
    EXPECT_EQ(status.message().substr(0, 8), "t.json: ") << text;
  }
}

// Every prefix of a file and every file with one value replaced gives a
// status, never a crash.
TEST(TokenizerFile, DamagedFilesGiveAnError) {
  Json json = ByteTokenizerJson();
  json["added_tokens"] = {{{"id", 256}, {"content", "<x>"}}};
  json["model"]["vocab"]["ab"] = 257;
  const std::string text = json.dump();
  for (size_t n = 0; n < text.size(); n += 13)
    EXPECT_FALSE(Tokenizer::Parse(text.substr(0, n), "t").ok());
  const Json flat = json.flatten();
  int refused = 0;
  for (const auto& [path, value] : flat.items()) {
    for (const Json& wrong : {Json(nullptr), Json(-1), Json("x"), Json(1e300),
                              Json(Json::object())}) {
      Json edited = json;
      edited[Json::json_pointer(path)] = wrong;
      refused += !Tokenizer::Parse(edited.dump(), "t").ok();
    }
  }
  EXPECT_GT(refused, 256);
}

TEST(TokenizerFile, RefusesByNameWhatIsNotSupported) {
  struct Case {
    const char* named;
    std::function<void(Json&)> edit;
  };
  const Case cases[] = {
      {"Unigram", [](Json& j) { j["model"]["type"] = "Unigram"; }},
      {"model.dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }},
      {"byte_fallback", [](Json& j) { j["model"]["byte_fallback"] = true; }},
      {"end_of_word_suffix",
       [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
      {"Lowercase",
       [](Json& j) {
         j["normalizer"] = {{"type", "Lowercase"}};
       }},
      {"Metaspace",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}};
       }},
      {"pre_tokenizer", [](Json& j) { j["pre_tokenizer"] = nullptr; }},
      {"MergedWithNext",
       [](Json& j) {
         j["pre_tokenizer"] = Json::parse(R"({"type": "Sequence",
           "pretokenizers": [{"type": "Split", "pattern": {"Regex": "a"},
           "behavior": "MergedWithNext", "invert": false},
           {"type": "ByteLevel"}]})");
       }},
      {"WordPiece", [](Json& j) { j["decoder"]["type"] = "WordPiece"; }},
      {"BertProcessing",
       [](Json& j) {
         j["post_processor"] = {{"type", "BertProcessing"}};
       }},
  };
  for (const Case& c : cases) {
    const absl::Status status = StatusOf(c.edit);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_NE(status.message().find(c.named), absl::string_view::npos)
        << status;
    EXPECT_NE(status.message().find("model/tokenizer.json"),
              absl::string_view::npos);
  }
}

TEST(TokenizerFile, RefusesAddedTokensWhoseIdTheLibraryWouldChange) {
  const absl::Status status = StatusOf([](Json& j) {
    j["added_tokens"] = {{{"id", 300}, {"content", "<x>"}}};
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("256"), absl::string_view::npos) << status;
}

TEST(TokenizerFile, RefusesAnAddedTokenWithAnothersId) {
  const absl::Status status = StatusOf([](Json& j) {
    auto& vocabulary = j["model"]["vocab"];
    vocabulary["ab"] = 257;  // the next free one of 257 tokens
    j["added_tokens"] = {{{"id", 257}, {"content", "<x>"}}};
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("another"), absl::string_view::npos)
      << status;
}

TEST(TokenizerFile, RefusesATemplateWithAnIdThatIsNoTokens) {
  const absl::Status status = StatusOf([](Json& j) {
    j["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
      "special_tokens": {"<s>": {"ids": [4000]}}})");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("4000"), absl::string_view::npos) << status;
}

TEST(TokenizerFile, RefusesWhatNestsWithoutEnd) {
  constexpr size_t kDepth = 200'000;
  const std::string text =
      "{\"x\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}";
  EXPECT_TRUE(absl::IsInvalidArgument(Tokenizer::Parse(text, "t").status()));
}

TEST(TokenizerFile, A150KVocabularyLoadsInAboutASecond) {
  Json json = ByteTokenizerJson();
  auto& vocabulary = json["model"]["vocab"];
  std::vector<std::string> tokens;
  for (const auto& [token, id] : vocabulary.items())
    if (tokens.size() < 188) tokens.push_back(token);
  int next = 256;
  for (size_t i = 0; next < 150000; ++i) {
    const std::string left = tokens[i / 188];
    const std::string right = tokens[i % 188];
    if (vocabulary.contains(left + right)) continue;
    vocabulary[left + right] = next++;
    tokens.push_back(left + right);
    json["model"]["merges"].push_back(left + " " + right);
  }
  const std::string text = json.dump();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(Tokenizer::Parse(text, "t").ok());
  // Far above what it takes, for sanitizers and busy machines.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

}  // namespace
}  // namespace kvrecall
