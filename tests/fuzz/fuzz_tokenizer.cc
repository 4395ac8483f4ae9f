// tokenizer.json and, behind 0xFF, a text to encode.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

#include "server/engine/tokenizer/byte_level.h"
#include "server/engine/tokenizer/incremental_decoder.h"
#include "server/engine/tokenizer/tokenizer.h"
#include "server/engine/tokenizer/utf8.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

// A pattern that backtracks far is slow by contract: only these, which are
// those of real models, are given a text of some length.
constexpr std::string_view kPatterns[] = {
    kGpt2Pattern,
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?)"
    R"([^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?)"
    R"([^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
};
constexpr size_t kShortText = 4;
constexpr size_t kLongText = 4096;

// A vocabulary without a token for every byte is refused at once: those that
// are missing are put in, with ids from the number that there are.
void FillVocabulary(Json& root) {
  Json& vocabulary = root["model"]["vocab"];
  if (!vocabulary.is_object()) return;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token =
        BytesToAlphabet(std::string(1, static_cast<char>(byte)));
    if (!vocabulary.contains(token)) vocabulary[token] = vocabulary.size();
  }
}

void CollectPatterns(const Json& json, std::vector<std::string>& patterns) {
  if (json.is_object() && json.contains("Regex") && json["Regex"].is_string())
    patterns.push_back(json["Regex"]);
  if (!json.is_structured()) return;
  for (const Json& child : json) CollectPatterns(child, patterns);
}

bool AllPatternsAreKnown(const Json& root) {
  std::vector<std::string> patterns;
  CollectPatterns(root, patterns);
  return std::all_of(
      patterns.begin(), patterns.end(), [](const std::string& pattern) {
        return std::find(std::begin(kPatterns), std::end(kPatterns), pattern) !=
               std::end(kPatterns);
      });
}

// Whether every byte of a text is in the ids: nothing is normalised, put
// before, or swallowed by a token.
bool KeepsBytes(const TokenizerSpec& spec) {
  return !spec.nfc && spec.added_tokens.empty() &&
         std::none_of(spec.pre_tokenizer.begin(), spec.pre_tokenizer.end(),
                      [](const PreTokenizerStep& step) {
                        return step.add_prefix_space;
                      });
}

void CheckDecoding(const Tokenizer& tokenizer,
                   const std::vector<int64_t>& ids) {
  const std::string text = tokenizer.Decode(ids, false);
  Require(IsValidUtf8(text), "decoded text is UTF-8");
  IncrementalDecoder decoder(tokenizer, false);
  std::string pieces;
  for (const int64_t id : ids) {
    const std::string piece = decoder.Push(id);
    Require(IsValidUtf8(piece), "a piece is UTF-8");
    pieces += piece;
  }
  pieces += decoder.Finish();
  Require(pieces == text, "pieces are the whole");
}

void CheckEncoding(const Tokenizer& tokenizer, bool keeps_bytes,
                   std::string_view text) {
  const std::vector<int64_t> plain =
      tokenizer.Encode(text, {.add_special_tokens = false});
  const std::vector<int64_t> ids = tokenizer.Encode(text);
  Require(ids.size() >= plain.size(), "special tokens come on top");
  for (const int64_t id : ids)
    Require(!tokenizer.TokenBytes(id).empty(), "an id is a token's");
  Require(tokenizer.Encode(text) == ids, "the cache changes nothing");
  if (keeps_bytes)
    Require(tokenizer.DecodeBytes(plain, false) == ReplaceInvalidUtf8(text),
            "decoding gives the text back");
  CheckDecoding(tokenizer, ids);
}

void CheckFile(const std::string& json, bool is_fast, std::string_view text) {
  const auto tokenizer = Tokenizer::Parse(json, "tokenizer.json");
  if (IsValidUtf8(json)) RequireReadable(tokenizer.status());
  if (!tokenizer.ok()) return;
  const auto spec = ParseTokenizerFile(json);
  Require(spec.ok(), "what made a tokenizer can be read");
  CheckEncoding(**tokenizer, KeepsBytes(*spec),
                text.substr(0, is_fast ? kLongText : kShortText));
}

}  // namespace

void FuzzTokenizer(std::string_view input) {
  InputBytes bytes(input);
  const std::string json(bytes.Part());
  const std::string_view text = bytes.Rest();
  Json root = Json::parse(json, nullptr, false);
  if (!root.is_object() || !root.contains("model") ||
      !root["model"].is_object()) {
    CheckFile(json, false, text);
    return;
  }
  const bool is_fast = AllPatternsAreKnown(root);
  CheckFile(json, is_fast, text);
  FillVocabulary(root);
  CheckFile(root.dump(), is_fast, text);
}

}  // namespace kvrecall
