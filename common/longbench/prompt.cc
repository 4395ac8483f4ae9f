#include "common/longbench/prompt.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace kvrecall {
namespace {

constexpr int64_t kLongBenchLimit = 31500;
constexpr int64_t kReservedTokens = 512;
// One token from each end.
constexpr int64_t kSmallestLimit = 2;

}  // namespace

std::string FillTemplate(const Task& task, const Sample& sample) {
  const std::pair<std::string_view, std::string_view> fields[] = {
      {"{context}", sample.context}, {"{input}", sample.input}};
  std::string out;
  std::string_view rest = task.prompt_template;
  // One pass over the template, so that what was put in is not read again.
  while (!rest.empty()) {
    size_t taken = 0;
    for (const auto& [placeholder, value] : fields) {
      if (!rest.starts_with(placeholder)) continue;
      out.append(value);
      taken = placeholder.size();
      break;
    }
    if (taken == 0) {
      taken = std::min(rest.find('{', 1), rest.size());
      out.append(rest.substr(0, taken));
    }
    rest.remove_prefix(taken);
  }
  return out;
}

absl::StatusOr<TruncatedPrompt> TruncateMiddle(std::string prompt,
                                               int64_t limit_tokens,
                                               const EncodeFunction& encode,
                                               const DecodeFunction& decode) {
  if (limit_tokens < kSmallestLimit) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt limit of ", limit_tokens,
                     " tokens; expected at least ", kSmallestLimit));
  }
  const std::vector<int64_t> ids = encode(prompt);
  TruncatedPrompt result;
  result.raw_tokens = static_cast<int64_t>(ids.size());
  result.truncated = result.raw_tokens > limit_tokens;
  if (!result.truncated) {
    result.text = std::move(prompt);
    return result;
  }
  const std::span<const int64_t> all = ids;
  const size_t half = static_cast<size_t>(limit_tokens / 2);
  result.text = decode(all.first(half)) + decode(all.last(half));
  return result;
}

absl::StatusOr<int64_t> DefaultPromptLimit(int64_t window_tokens,
                                           int64_t max_new_tokens) {
  const int64_t room = window_tokens - max_new_tokens - kReservedTokens;
  if (room < kSmallestLimit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no room for a prompt: the model's window is ", window_tokens,
        " tokens, of which ", max_new_tokens, " are for the answer and ",
        kReservedTokens,
        " are kept free; generate fewer tokens or set the prompt limit"));
  }
  return std::min(kLongBenchLimit, room);
}

}  // namespace kvrecall
