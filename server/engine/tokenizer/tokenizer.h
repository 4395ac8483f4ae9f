#pragma once

// A byte-level BPE tokenizer, loaded from a Hugging Face tokenizer.json
// (GPT-2, Qwen 2 to 3, Llama 3), whose ids are those of the `tokenizers`
// library. Immutable after Load but for a thread-safe word cache: any number
// of threads may call any const method at once.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "server/engine/tokenizer/added_tokens.h"
#include "server/engine/tokenizer/bpe.h"
#include "server/engine/tokenizer/pre_tokenizer.h"
#include "server/engine/tokenizer/tokenizer_file.h"

namespace kvrecall {

struct EncodeOptions {
  // Puts the post-processor's special tokens around the ids, such as Llama 3's
  // <|begin_of_text|>. A chat template has them in its text already.
  bool add_special_tokens = true;
};

class Tokenizer {
 public:
  // `path` is a tokenizer.json or the directory that holds one. NotFound: there
  // is none. InvalidArgument: it is malformed. Unimplemented: it needs what is
  // not supported here; the message names it. All name the file.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(
      const std::string& path);
  // The same from the file's text; `name` stands for the file in messages.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(
      std::string_view json, const std::string& name);

  // The ids of a text. Ill-formed UTF-8 is replaced first, one U+FFFD for each
  // maximal ill-formed part, as Python's errors="replace" does. Text that
  // spells a special token becomes that token, as in the library.
  std::vector<int64_t> Encode(std::string_view text,
                              const EncodeOptions& options = {}) const;

  // The text of some ids; bytes that are no UTF-8 become U+FFFD. Ids that do
  // not exist are left out, as in the library.
  std::string Decode(std::span<const int64_t> ids,
                     bool skip_special_tokens) const;
  // The same before U+FFFD takes the place of ill-formed parts.
  std::string DecodeBytes(std::span<const int64_t> ids,
                          bool skip_special_tokens) const;

  // What one id adds to DecodeBytes; empty if there is no such id.
  std::string TokenBytes(int64_t id) const;

  // How many tokens there are, added ones included.
  int64_t VocabularySize() const;

  // By the token's string as it stands in the file ("Ġthe", "<|im_end|>").
  std::optional<int64_t> TokenToId(std::string_view token) const;

  // True for tokens that skip_special_tokens leaves out.
  bool IsSpecial(int64_t id) const;

  // SHA-256 of the file, lower-case hexadecimal.
  const std::string& digest() const { return digest_; }

 private:
  struct Entry {
    std::string bytes;
    bool exists = false;
    bool special = false;
  };

  Tokenizer(Bpe bpe, TokenizerSpec spec, std::string digest);
  void FillEntries(const std::vector<AddedToken>& added);
  void EncodePlain(std::string_view text, std::vector<int64_t>& ids) const;
  const Entry* Find(int64_t id) const;

  Bpe bpe_;
  bool nfc_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher raw_tokens_;         // normalized = false
  AddedTokenMatcher normalized_tokens_;  // normalized = true
  std::vector<int64_t> prefix_;
  std::vector<int64_t> suffix_;
  absl::flat_hash_map<std::string, int32_t> added_ids_;
  std::vector<Entry> entries_;  // by id
  int64_t vocabulary_size_ = 0;
  std::string digest_;
};

}  // namespace kvrecall
