#include "server/engine/tokenizer/tokenizer.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "server/engine/tokenizer/byte_level.h"
#include "server/engine/tokenizer/nfc.h"
#include "server/engine/tokenizer/utf8.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return absl::NotFoundError(absl::StrCat(
        path,
        ": cannot be opened; a model directory holds the Hugging Face "
        "tokenizer.json"));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad())
    return absl::UnavailableError(absl::StrCat(path, ": cannot be read"));
  return text;
}

absl::Status Named(const std::string& name, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(name, ": ", status.message()));
}

// The tokens that are looked for before (false) or after (true) normalisation.
std::vector<AddedToken> Choose(const TokenizerSpec& spec, bool normalized) {
  std::vector<AddedToken> chosen;
  for (AddedToken token : spec.added_tokens) {
    if (token.normalized != normalized) continue;
    if (normalized && spec.nfc) token.content = NormalizeNfc(token.content);
    chosen.push_back(std::move(token));
  }
  return chosen;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(
    const std::string& path) {
  std::error_code ignored;
  const std::string file = fs::is_directory(path, ignored)
                               ? (fs::path(path) / "tokenizer.json").string()
                               : path;
  ASSIGN_OR_RETURN(const std::string json, ReadFile(file));
  return Parse(json, file);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Parse(
    std::string_view json, const std::string& name) {
  auto spec = ParseTokenizerFile(json);
  if (!spec.ok()) return Named(name, spec.status());
  auto bpe = Bpe::Create(std::move(spec->model));
  if (!bpe.ok()) return Named(name, bpe.status());
  return std::unique_ptr<Tokenizer>(new Tokenizer(
      std::move(bpe).value(), std::move(spec).value(), Sha256Hex(json)));
}

Tokenizer::Tokenizer(Bpe bpe, TokenizerSpec spec, std::string digest)
    : bpe_(std::move(bpe)),
      nfc_(spec.nfc),
      pre_tokenizer_(std::move(spec.pre_tokenizer)),
      raw_tokens_(Choose(spec, false)),
      normalized_tokens_(Choose(spec, true)),
      prefix_(std::move(spec.prefix)),
      suffix_(std::move(spec.suffix)),
      digest_(std::move(digest)) {
  FillEntries(spec.added_tokens);
}

void Tokenizer::FillEntries(const std::vector<AddedToken>& added) {
  const auto add = [this](const std::string& token, int32_t id) -> Entry& {
    if (static_cast<size_t>(id) >= entries_.size()) entries_.resize(id + 1);
    Entry& entry = entries_[id];
    if (!entry.exists) ++vocabulary_size_;
    entry.exists = true;
    // The library's decoder does the same to added tokens: one that is written
    // in characters of the alphabet stands for their bytes.
    entry.bytes = AlphabetToBytes(token).value_or(token);
    return entry;
  };
  entries_.resize(bpe_.vocabulary().size());
  for (const auto& [token, id] : bpe_.vocabulary()) add(token, id);
  for (const AddedToken& token : added) {
    const bool normalize = token.normalized && nfc_;
    Entry& entry =
        add(normalize ? NormalizeNfc(token.content) : token.content, token.id);
    entry.special = token.special;
    added_ids_[token.content] = token.id;
  }
}

std::vector<int64_t> Tokenizer::Encode(std::string_view text,
                                       const EncodeOptions& options) const {
  std::string replaced;
  if (!IsValidUtf8(text)) {
    replaced = ReplaceInvalidUtf8(text);
    text = replaced;
  }
  std::vector<int64_t> ids;
  if (options.add_special_tokens) ids = prefix_;
  for (const auto& piece : raw_tokens_.Split(text)) {
    if (piece.id.has_value())
      ids.push_back(*piece.id);
    else if (nfc_)
      EncodePlain(NormalizeNfc(piece.text), ids);
    else
      EncodePlain(piece.text, ids);
  }
  if (options.add_special_tokens)
    ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

void Tokenizer::EncodePlain(std::string_view text,
                            std::vector<int64_t>& ids) const {
  for (const auto& piece : normalized_tokens_.Split(text)) {
    if (piece.id.has_value())
      ids.push_back(*piece.id);
    else
      pre_tokenizer_.ForEachWord(piece.text, [&](std::string_view word) {
        bpe_.EncodeWord(word, ids);
      });
  }
}

std::string Tokenizer::Decode(std::span<const int64_t> ids,
                              bool skip_special_tokens) const {
  return ReplaceInvalidUtf8(DecodeBytes(ids, skip_special_tokens));
}

std::string Tokenizer::DecodeBytes(std::span<const int64_t> ids,
                                   bool skip_special_tokens) const {
  std::string bytes;
  for (const int64_t id : ids) {
    const Entry* entry = Find(id);
    if (entry == nullptr || (skip_special_tokens && entry->special)) continue;
    bytes += entry->bytes;
  }
  return bytes;
}

const Tokenizer::Entry* Tokenizer::Find(int64_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= entries_.size()) return nullptr;
  return entries_[id].exists ? &entries_[id] : nullptr;
}

std::string Tokenizer::TokenBytes(int64_t id) const {
  const Entry* entry = Find(id);
  return entry == nullptr ? "" : entry->bytes;
}

int64_t Tokenizer::VocabularySize() const { return vocabulary_size_; }

std::optional<int64_t> Tokenizer::TokenToId(std::string_view token) const {
  const absl::string_view key(token.data(), token.size());
  if (const auto it = added_ids_.find(key); it != added_ids_.end())
    return it->second;
  if (const auto it = bpe_.vocabulary().find(key);
      it != bpe_.vocabulary().end())
    return it->second;
  return std::nullopt;
}

bool Tokenizer::IsSpecial(int64_t id) const {
  const Entry* entry = Find(id);
  return entry != nullptr && entry->special;
}

}  // namespace kvrecall
