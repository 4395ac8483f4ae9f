#include "server/engine/tokenizer/incremental_decoder.h"

#include <utility>

#include "server/engine/tokenizer/utf8.h"

namespace kvrecall {

std::string IncrementalDecoder::Push(int64_t id) {
  if (skip_special_tokens_ && tokenizer_.IsSpecial(id)) return "";
  pending_ += tokenizer_.TokenBytes(id);
  const size_t complete = pending_.size() - IncompleteTail(pending_);
  std::string text =
      ReplaceInvalidUtf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text;
}

std::string IncrementalDecoder::Finish() {
  return ReplaceInvalidUtf8(std::exchange(pending_, ""));
}

}  // namespace kvrecall
