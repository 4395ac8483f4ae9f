#pragma once

// From a sample to the prompt's text: template, then LongBench's truncation.
// The chat template comes after, and is the tokenizer's. Thread-safe if the
// callbacks are.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/longbench/jsonl.h"
#include "common/longbench/task.h"

namespace kvrecall {

// The task's template with {context} and {input} replaced. Braces in the
// sample's text stay as they are, whatever is between them.
std::string FillTemplate(const Task& task, const Sample& sample);

// The most bytes that a template of the user's own may give: a name may stand
// in it any number of times.
inline constexpr size_t kMostFilledBytes = 16 << 20;

// A template of the user's own, where any of a sample's fields may stand in
// braces: {context}, {input}, or a name of Sample::fields. Braces around
// anything that is no name (a letter or underscore, then letters, digits and
// underscores) are text. INVALID_ARGUMENT: a name that the sample has not, with
// those that it has; or more than kMostFilledBytes.
absl::StatusOr<std::string> FillOwnTemplate(std::string_view prompt_template,
                                            const Sample& sample);

// Text to token ids, with no chat template.
using EncodeFunction = std::function<std::vector<int64_t>(std::string_view)>;
// Token ids to text, special tokens skipped.
using DecodeFunction = std::function<std::string(std::span<const int64_t>)>;

struct TruncatedPrompt {
  std::string text;
  // Tokens of the prompt as it was given, before truncation.
  int64_t raw_tokens = 0;
  bool truncated = false;
};

// LongBench's rule (pred.py): a prompt of at most `limit_tokens` tokens is kept
// as it is; of a longer one, the first and the last floor(limit / 2) tokens,
// decoded apart and joined with nothing between. The result, encoded anew, may
// differ from the limit by a few tokens. INVALID_ARGUMENT if the limit is below
// 2, which leaves nothing.
absl::StatusOr<TruncatedPrompt> TruncateMiddle(std::string prompt,
                                               int64_t limit_tokens,
                                               const EncodeFunction& encode,
                                               const DecodeFunction& decode);

// The default limit in tokens: min(31500, window - max_new_tokens - 512), where
// `window_tokens` is what the model can attend to and 512 leaves room for the
// chat template and for encoding anew. INVALID_ARGUMENT if nothing is left.
absl::StatusOr<int64_t> DefaultPromptLimit(int64_t window_tokens,
                                           int64_t max_new_tokens);

}  // namespace kvrecall
