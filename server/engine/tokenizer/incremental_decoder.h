#pragma once

// Turns ids into text one at a time, for streaming: a character whose bytes
// are spread over several tokens appears when its last byte does. Not
// thread-safe; one per sequence. The tokenizer must outlive it.

#include <cstdint>
#include <string>

#include "server/engine/tokenizer/tokenizer.h"

namespace kvrecall {

class IncrementalDecoder {
 public:
  IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // The text that this id completes, possibly none. It is valid UTF-8, and all
  // pieces together, Finish's included, are Tokenizer::Decode of all ids.
  std::string Push(int64_t id);

  // What is left: U+FFFD if the last character is incomplete, else nothing.
  // The decoder is then as new.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  std::string pending_;  // begins a character; at most 3 bytes between calls
};

}  // namespace kvrecall
