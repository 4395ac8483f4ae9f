#include "common/longbench/prompt.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr int64_t kLongBenchLimit = 31500;
constexpr int64_t kReservedTokens = 512;
// One token from each end.
constexpr int64_t kSmallestLimit = 2;

// The name that `text` begins with in braces; empty if there is none.
std::string_view NameInBraces(std::string_view text) {
  if (!text.starts_with('{')) return {};
  const size_t end = text.find('}');
  if (end == std::string_view::npos) return {};
  const std::string_view name = text.substr(1, end - 1);
  const bool is_name =
      !name.empty() &&
      !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || c == '_';
      });
  return is_name ? name : std::string_view();
}

absl::StatusOr<std::string_view> FieldOf(const Sample& sample,
                                         std::string_view name) {
  if (name == "context") return std::string_view(sample.context);
  if (name == "input") return std::string_view(sample.input);
  const auto field = sample.fields.find(std::string(name));
  if (field != sample.fields.end()) return std::string_view(field->second);
  std::vector<std::string> known = {"context", "input"};
  for (const auto& [own, value] : sample.fields) known.push_back(own);
  const std::string has = absl::StrJoin(known, ", ");
  return absl::InvalidArgumentError(absl::StrCat(
      "the template names {", OneLine(name), "}, and sample '",
      OneLine(sample.id), "' has no such field; it has ", OneLine(has)));
}

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

absl::StatusOr<std::string> FillOwnTemplate(std::string_view prompt_template,
                                            const Sample& sample) {
  std::string out;
  std::string_view rest = prompt_template;
  while (!rest.empty()) {
    if (const std::string_view name = NameInBraces(rest); !name.empty()) {
      ASSIGN_OR_RETURN(const std::string_view value, FieldOf(sample, name));
      out.append(value);
      rest.remove_prefix(name.size() + 2);
    } else {
      const size_t taken = std::min(rest.find('{', 1), rest.size());
      out.append(rest.substr(0, taken));
      rest.remove_prefix(taken);
    }
    if (out.size() > kMostFilledBytes)
      return absl::InvalidArgumentError(
          absl::StrCat("the template gives more than ", kMostFilledBytes,
                       " bytes with sample '", OneLine(sample.id), "'"));
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
