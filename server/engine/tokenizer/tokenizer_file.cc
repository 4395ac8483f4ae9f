#include "server/engine/tokenizer/tokenizer_file.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/json_nesting.h"
#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

// Larger than any vocabulary; ids index arrays.
constexpr int64_t kMaxId = int64_t{1} << 22;

absl::Status Invalid(const std::string& message) {
  return absl::InvalidArgumentError(message);
}

absl::Status Unsupported(const std::string& what, const Json& value,
                         const std::string& right) {
  constexpr size_t kShown = 77;
  return absl::UnimplementedError(absl::StrCat(
      what, " is ", OneLine(value.dump(), kShown), "; supported: ", right));
}

// A member that is absent reads as null.
const Json& Get(const Json& object, const char* key) {
  static const Json kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::string TypeOf(const Json& object) {
  const Json& type = Get(object, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

absl::StatusOr<bool> Flag(const Json& object, const char* key, bool absent) {
  const Json& value = Get(object, key);
  if (value.is_null()) return absent;
  if (!value.is_boolean())
    return Invalid(absl::StrCat("'", key, "' must be true or false"));
  return value.get<bool>();
}

absl::StatusOr<int32_t> Id(const Json& value, const std::string& where) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0 ||
      value.get<int64_t>() >= kMaxId)
    return Invalid(
        absl::StrCat(where, " must be a whole number from 0 to ", kMaxId - 1));
  return value.get<int32_t>();
}

// The parts of a Sequence under `key`, or the object itself.
absl::StatusOr<std::vector<Json>> Parts(const Json& object,
                                        const std::string& what,
                                        const char* key) {
  if (object.is_null()) return std::vector<Json>();
  if (!object.is_object()) return Invalid(what + " must be an object or null");
  if (TypeOf(object) != "Sequence") return std::vector<Json>{object};
  const Json& parts = Get(object, key);
  if (!parts.is_array())
    return Invalid(absl::StrCat(what, ".", key, " must be a list"));
  for (const Json& part : parts)
    if (!part.is_object())
      return Invalid(absl::StrCat(what, ".", key, " must hold objects"));
  return std::vector<Json>(parts.begin(), parts.end());
}

absl::Status ReadNormalizer(const Json& json, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const auto parts, Parts(json, "normalizer", "normalizers"));
  for (const Json& part : parts) {
    if (TypeOf(part) != "NFC")
      return Unsupported("normalizer", part, "null, NFC");
    spec.nfc = true;
  }
  return absl::OkStatus();
}

absl::StatusOr<PreTokenizerStep> ReadSplit(const Json& part) {
  const Json& pattern = Get(part, "pattern");
  const Json& regex = pattern.is_object() ? Get(pattern, "Regex") : pattern;
  if (!regex.is_string())
    return Unsupported("pre_tokenizer Split.pattern", pattern,
                       "{\"Regex\": \"...\"}");
  if (Get(part, "behavior") != "Isolated")
    return Unsupported("pre_tokenizer Split.behavior", Get(part, "behavior"),
                       "\"Isolated\"");
  ASSIGN_OR_RETURN(const bool invert, Flag(part, "invert", false));
  if (invert) return Unsupported("pre_tokenizer Split.invert", true, "false");
  PreTokenizerStep step;
  ASSIGN_OR_RETURN(step.regex, SplitRegex::Compile(regex.get<std::string>()));
  return step;
}

absl::StatusOr<PreTokenizerStep> ReadByteLevel(const Json& part) {
  PreTokenizerStep step;
  ASSIGN_OR_RETURN(step.add_prefix_space, Flag(part, "add_prefix_space", true));
  ASSIGN_OR_RETURN(const bool use_regex, Flag(part, "use_regex", true));
  if (use_regex) {
    ASSIGN_OR_RETURN(step.regex, SplitRegex::Compile(kGpt2Pattern));
  }
  return step;
}

absl::Status ReadPreTokenizer(const Json& json, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const auto parts,
                   Parts(json, "pre_tokenizer", "pretokenizers"));
  const std::string supported = "Split, then ByteLevel; or ByteLevel alone";
  // After ByteLevel the text is in the byte alphabet: it must be the last.
  if (parts.empty() || TypeOf(parts.back()) != "ByteLevel")
    return Unsupported("pre_tokenizer", json, supported);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (TypeOf(parts[i]) == "Split") {
      ASSIGN_OR_RETURN(auto step, ReadSplit(parts[i]));
      spec.pre_tokenizer.push_back(std::move(step));
    } else if (i + 1 == parts.size()) {
      ASSIGN_OR_RETURN(auto step, ReadByteLevel(parts[i]));
      spec.pre_tokenizer.push_back(std::move(step));
    } else {
      return Unsupported("pre_tokenizer", parts[i], supported);
    }
  }
  return absl::OkStatus();
}

absl::Status ReadDecoder(const Json& json) {
  if (!json.is_object() || TypeOf(json) != "ByteLevel")
    return Unsupported("decoder", json, "ByteLevel");
  return absl::OkStatus();
}

absl::Status ReadVocabulary(const Json& json, BpeSpec& spec) {
  if (!json.is_object() || json.empty())
    return Invalid("model.vocab must map token strings to ids");
  spec.vocabulary.reserve(json.size());
  for (const auto& [token, value] : json.items()) {
    ASSIGN_OR_RETURN(const int32_t id, Id(value, "an id of model.vocab"));
    spec.vocabulary.emplace(token, id);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::pair<std::string, std::string>> ReadMerge(const Json& json,
                                                              size_t rank) {
  const absl::Status bad = Invalid(absl::StrCat(
      "model.merges entry ", rank, " must be \"a b\" or [\"a\", \"b\"]"));
  if (json.is_array()) {
    if (json.size() != 2 || !json[0].is_string() || !json[1].is_string())
      return bad;
    return std::pair(json[0].get<std::string>(), json[1].get<std::string>());
  }
  if (!json.is_string()) return bad;
  const auto& text = json.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != text.npos)
    return bad;
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

absl::Status RefuseModelSettings(const Json& json) {
  const Json& dropout = Get(json, "dropout");
  if (!dropout.is_null() && dropout != 0.0)
    return Unsupported("model.dropout", dropout, "null");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!Get(json, key).is_null() && Get(json, key) != "")
      return Unsupported(absl::StrCat("model.", key), Get(json, key), "null");
  ASSIGN_OR_RETURN(const bool fallback, Flag(json, "byte_fallback", false));
  if (fallback) return Unsupported("model.byte_fallback", true, "false");
  return absl::OkStatus();
}

absl::Status ReadModel(const Json& json, BpeSpec& spec) {
  if (!json.is_object()) return Invalid("model must be an object");
  // Files of before 2020 have no type; they are BPE if they have merges.
  if (TypeOf(json) != "BPE" &&
      (json.contains("type") || !json.contains("merges")))
    return Unsupported("model.type", Get(json, "type"), "\"BPE\"");
  RETURN_IF_ERROR(RefuseModelSettings(json));
  ASSIGN_OR_RETURN(spec.ignore_merges, Flag(json, "ignore_merges", false));
  RETURN_IF_ERROR(ReadVocabulary(Get(json, "vocab"), spec));
  const Json& merges = Get(json, "merges");
  if (!merges.is_array()) return Invalid("model.merges must be a list");
  spec.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    ASSIGN_OR_RETURN(auto pair, ReadMerge(merge, spec.merges.size()));
    spec.merges.push_back(std::move(pair));
  }
  return absl::OkStatus();
}

absl::StatusOr<AddedToken> ReadAddedToken(const Json& json) {
  if (!json.is_object() || !Get(json, "content").is_string())
    return Invalid("added_tokens must hold objects with a 'content'");
  AddedToken token;
  token.content = json["content"].get<std::string>();
  ASSIGN_OR_RETURN(token.id, Id(Get(json, "id"), "an id of added_tokens"));
  ASSIGN_OR_RETURN(token.single_word, Flag(json, "single_word", false));
  ASSIGN_OR_RETURN(token.lstrip, Flag(json, "lstrip", false));
  ASSIGN_OR_RETURN(token.rstrip, Flag(json, "rstrip", false));
  ASSIGN_OR_RETURN(token.normalized, Flag(json, "normalized", true));
  ASSIGN_OR_RETURN(token.special, Flag(json, "special", false));
  return token;
}

// The library gives an added token the id it has in the vocabulary, or else
// the next free one: the file's id is advice. A file in which they differ
// would mean different things to different readers.
absl::Status ReadAddedTokens(const Json& json, TokenizerSpec& spec) {
  if (json.is_null()) return absl::OkStatus();
  if (!json.is_array()) return Invalid("added_tokens must be a list");
  auto next = static_cast<int32_t>(spec.model.vocabulary.size());
  absl::flat_hash_set<std::string> contents;
  for (const Json& entry : json) {
    ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(entry));
    if (token.content.empty()) continue;
    if (!contents.insert(token.content).second)
      return Invalid(absl::StrCat("added_tokens has '", OneLine(token.content),
                                  "' more than once"));
    const auto it = spec.model.vocabulary.find(token.content);
    const int32_t id = it == spec.model.vocabulary.end() ? next++ : it->second;
    if (id != token.id)
      return Invalid(absl::StrCat("added token '", OneLine(token.content),
                                  "' has id ", token.id,
                                  " in the file, but the tokenizers "
                                  "library would give it ",
                                  id));
    spec.added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

// One piece of a template: the ids of a special token, or nothing for the
// sequence itself.
absl::StatusOr<std::optional<std::vector<int64_t>>> ReadTemplatePiece(
    const Json& piece, const Json& special_tokens) {
  if (piece.is_object() && piece.contains("Sequence")) return std::nullopt;
  const Json& token = piece.is_object() ? Get(piece, "SpecialToken") : piece;
  const Json& name = token.is_object() ? Get(token, "id") : token;
  const absl::Status unknown = Invalid(
      "post_processor TemplateProcessing names a special token that its "
      "special_tokens lack");
  if (!name.is_string() || !special_tokens.is_object()) return unknown;
  const Json& entry =
      Get(special_tokens, name.get_ref<const std::string&>().c_str());
  if (!entry.is_object() || !Get(entry, "ids").is_array()) return unknown;
  std::vector<int64_t> ids;
  for (const Json& value : entry["ids"]) {
    ASSIGN_OR_RETURN(const int32_t id, Id(value, "an id of special_tokens"));
    ids.push_back(id);
  }
  return ids;
}

absl::Status ReadTemplate(const Json& json, TokenizerSpec& spec) {
  const Json& single = Get(json, "single");
  if (!single.is_array())
    return Invalid("post_processor TemplateProcessing.single must be a list");
  bool seen_sequence = false;
  for (const Json& piece : single) {
    ASSIGN_OR_RETURN(const auto ids,
                     ReadTemplatePiece(piece, Get(json, "special_tokens")));
    if (!ids.has_value() && seen_sequence)
      return Unsupported("post_processor TemplateProcessing.single", single,
                         "one sequence");
    seen_sequence = seen_sequence || !ids.has_value();
    if (!ids.has_value()) continue;
    auto& side = seen_sequence ? spec.suffix : spec.prefix;
    side.insert(side.end(), ids->begin(), ids->end());
  }
  if (!seen_sequence)
    return Invalid("post_processor TemplateProcessing.single has no sequence");
  return absl::OkStatus();
}

absl::Status ReadPostProcessor(const Json& json, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const auto parts,
                   Parts(json, "post_processor", "processors"));
  bool seen_template = false;
  for (const Json& part : parts) {
    const std::string type = TypeOf(part);
    if (type == "ByteLevel") continue;  // changes offsets only
    if (type != "TemplateProcessing" || seen_template)
      return Unsupported("post_processor", part,
                         "null, ByteLevel, one TemplateProcessing");
    seen_template = true;
    RETURN_IF_ERROR(ReadTemplate(part, spec));
  }
  return absl::OkStatus();
}

// Every id is one token's: that of a vocabulary with holes may be another
// token's already, and that of a template nobody's.
absl::Status CheckIds(const TokenizerSpec& spec) {
  absl::flat_hash_set<int32_t> ids;
  for (const auto& [token, id] : spec.model.vocabulary) ids.insert(id);
  for (const AddedToken& token : spec.added_tokens)
    if (!spec.model.vocabulary.contains(token.content) &&
        !ids.insert(token.id).second)
      return Invalid(absl::StrCat("added token '", OneLine(token.content),
                                  "' has id ", token.id,
                                  ", which model.vocab gives to another"));
  for (const std::vector<int64_t>* side : {&spec.prefix, &spec.suffix})
    for (const int64_t id : *side)
      if (!ids.contains(static_cast<int32_t>(id)))
        return Invalid(absl::StrCat("post_processor TemplateProcessing has id ",
                                    id, ", which is no token's"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTokenizerFile(std::string_view json) {
  RETURN_IF_ERROR(CheckNesting(json));
  Json root;
  try {
    root = Json::parse(json.begin(), json.end());
  } catch (const Json::exception& error) {
    return Invalid(absl::StrCat("not valid JSON: ", OneLine(error.what())));
  }
  if (!root.is_object()) return Invalid("must be a JSON object");
  TokenizerSpec spec;
  RETURN_IF_ERROR(ReadModel(Get(root, "model"), spec.model));
  RETURN_IF_ERROR(ReadNormalizer(Get(root, "normalizer"), spec));
  RETURN_IF_ERROR(ReadPreTokenizer(Get(root, "pre_tokenizer"), spec));
  RETURN_IF_ERROR(ReadDecoder(Get(root, "decoder")));
  RETURN_IF_ERROR(ReadAddedTokens(Get(root, "added_tokens"), spec));
  RETURN_IF_ERROR(ReadPostProcessor(Get(root, "post_processor"), spec));
  RETURN_IF_ERROR(CheckIds(spec));
  return spec;
}

}  // namespace kvrecall
