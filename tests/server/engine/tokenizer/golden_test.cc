// Ids and texts equal to those of the `tokenizers` Python package.

#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include <gtest/gtest.h>

#include "common/base/digest.h"
#include "server/engine/tokenizer/incremental_decoder.h"
#include "server/engine/tokenizer/tokenizer.h"
#include "tests/server/engine/tokenizer/golden_file.h"

namespace kvrecall {
namespace {

using Ids = std::vector<int64_t>;
using Json = nlohmann::json;

std::string DecodeOneByOne(const Tokenizer& tokenizer, const Ids& ids,
                           bool skip) {
  IncrementalDecoder decoder(tokenizer, skip);
  std::string text;
  for (const int64_t id : ids) text += decoder.Push(id);
  return text + decoder.Finish();
}

// Counts the cases of each kind and those that differ, and shows the first.
class Comparison {
 public:
  explicit Comparison(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void Line(const Json& line) {
    const std::string kind = line[0];
    ++cases_[kind];
    if (kind == "encode")
      Encode(line);
    else if (kind == "decode")
      Decode(line);
  }

  int cases(const std::string& kind) { return cases_[kind]; }
  int mismatches() const { return mismatches_; }

 private:
  void Encode(const Json& line) {
    const std::string text = FromBase64(line[1]);
    const Ids expected = line[2].get<Ids>();
    const Ids ids = tokenizer_.Encode(text);
    Check(ids == expected, absl::CEscape(text) + ": " +
                               absl::StrJoin(ids, " ") + ", expected " +
                               absl::StrJoin(expected, " "));
  }

  void Decode(const Json& line) {
    const Ids ids = line[1].get<Ids>();
    for (const bool skip : {false, true}) {
      const std::string expected = FromBase64(line[skip ? 3 : 2]);
      const std::string text = tokenizer_.Decode(ids, skip);
      Check(text == expected && DecodeOneByOne(tokenizer_, ids, skip) == text,
            absl::StrJoin(ids, " ") + ": " + absl::CEscape(text) +
                ", expected " + absl::CEscape(expected));
    }
  }

  void Check(bool equal, const std::string& message) {
    if (equal) return;
    if (++mismatches_ <= 10) ADD_FAILURE() << message;
  }

  const Tokenizer& tokenizer_;
  std::map<std::string, int> cases_;
  int mismatches_ = 0;
};

void CompareWithGolden(const std::string& name, const std::string& file,
                       int encode_cases) {
  const auto lines =
      ReadGoldenLines("tests/golden/tokenizer_" + name + ".golden.gz");
  ASSERT_FALSE(lines.empty()) << "no golden file for " << name;
  const auto tokenizer = Tokenizer::Load(file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  ASSERT_EQ((*tokenizer)->digest(), lines[0]["file_sha256"])
      << file << " changed: run tests/golden/tokenizer_golden.py " << name;
  Comparison comparison(**tokenizer);
  for (size_t i = 1; i < lines.size(); ++i) comparison.Line(lines[i]);
  EXPECT_EQ(comparison.mismatches(), 0);
  EXPECT_GE(comparison.cases("encode"), encode_cases);
  EXPECT_GT(comparison.cases("decode"), 100);
  std::cout << name << ": " << comparison.cases("encode") << " strings, "
            << comparison.cases("decode") << " id lists, "
            << comparison.mismatches() << " mismatches\n";
}

TEST(TokenizerGolden, Gpt2StyleAgrees) {
  CompareWithGolden("gpt2_style", "tests/golden/tokenizer_gpt2_style.json",
                    1000);
}

TEST(TokenizerGolden, Llama3StyleAgrees) {
  CompareWithGolden("llama3_style", "tests/golden/tokenizer_llama3_style.json",
                    1000);
}

TEST(TokenizerGolden, EmbeddedModelAgrees) {
  CompareWithGolden("nano", "deploy/models/nano", 5000);
}

TEST(TokenizerGolden, Qwen25Agrees) {
  const std::string directory = SharedDirectory() + "/data/qwen2.5-tokenizer";
  if (!std::filesystem::exists(directory))
    GTEST_SKIP() << directory << " is not there";
  CompareWithGolden("qwen2.5", directory, 5000);
}

// Real prompts of up to 12 thousand words; their ids are kept as digests.
TEST(TokenizerGolden, Qwen25AgreesOnLongBench) {
  const std::string shared = SharedDirectory() + "/data/";
  if (!std::filesystem::exists(shared))
    GTEST_SKIP() << shared << " is not there";
  const auto tokenizer = Tokenizer::Load(shared + "qwen2.5-tokenizer");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::map<std::string, std::vector<std::string>> contexts;  // by file
  int cases = 0;
  for (const Json& line :
       ReadGoldenLines("tests/golden/tokenizer_qwen2.5.golden.gz")) {
    if (!line.is_array() || line[0] != "longbench") continue;
    auto& file = contexts[line[1]];
    if (file.empty()) {
      std::ifstream stream(shared + "longbench/" + line[1].get<std::string>());
      for (std::string text; std::getline(stream, text);)
        file.push_back(Json::parse(text)["context"]);
    }
    const std::string& context = file.at(line[2].get<size_t>());
    const Ids ids = (*tokenizer)->Encode(context);
    EXPECT_EQ(ids.size(), line[3].get<size_t>());
    EXPECT_EQ(Sha256Hex(absl::StrJoin(ids, " ")), line[4]);
    EXPECT_EQ((*tokenizer)->Decode(ids, false), context);
    ++cases;
  }
  EXPECT_GT(cases, 100);
}

}  // namespace
}  // namespace kvrecall
