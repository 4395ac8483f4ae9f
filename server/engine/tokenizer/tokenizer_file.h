#pragma once

// Reads a Hugging Face tokenizer.json into plain values. Whatever the
// tokenizer here does not do as the `tokenizers` library does it is refused by
// name. `truncation` and `padding` are ignored, as `transformers` resets them.
// Pure function; thread-safe.

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "server/engine/tokenizer/added_tokens.h"
#include "server/engine/tokenizer/bpe.h"
#include "server/engine/tokenizer/pre_tokenizer.h"

namespace kvrecall {

struct TokenizerSpec {
  bool nfc = false;
  std::vector<PreTokenizerStep> pre_tokenizer;
  BpeSpec model;
  // With the ids that the library gives them.
  std::vector<AddedToken> added_tokens;
  // What the post-processor's template puts around one sequence.
  std::vector<int64_t> prefix;
  std::vector<int64_t> suffix;
};

// InvalidArgument: the text is no tokenizer.json. Unimplemented: it is one of
// a kind that is not supported.
absl::StatusOr<TokenizerSpec> ParseTokenizerFile(std::string_view json);

}  // namespace kvrecall
