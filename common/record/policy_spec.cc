#include "common/record/policy_spec.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// 2⁵³ − 1: up to here a double has every whole number.
constexpr double kLargestWhole = 9007199254740991.0;

absl::Status Malformed(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("policy '", OneLine(text), "': ", std::string(why),
                   "; write it like h2o, random(seed=7) or "
                   "h2o_evict@entropy(2)"));
}

// Longer than any name there is; what is compared with all of them is bounded.
constexpr size_t kMostLetters = 64;

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMostLetters &&
         absl::ascii_islower(text[0]) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
         });
}

bool ReadNumber(absl::string_view text, double* value) {
  return absl::SimpleAtod(text, value) && std::isfinite(*value);
}

// "entropy(2)".
absl::StatusOr<TriggerSpec> ParseTrigger(std::string_view policy,
                                         absl::string_view text) {
  TriggerSpec trigger;
  const size_t open = text.find('(');
  trigger.name = std::string(text.substr(0, open));
  if (!IsName(trigger.name) || open == absl::string_view::npos ||
      text.back() != ')' ||
      !ReadNumber(text.substr(open + 1, text.size() - open - 2),
                  &trigger.value))
    return Malformed(policy,
                     absl::StrCat("'@", OneLine({text.data(), text.size()}),
                                  "' is not a trigger with one number "
                                  "in parentheses"));
  return trigger;
}

}  // namespace

std::string NumberText(double value) {
  const bool whole =
      value == std::floor(value) && std::abs(value) <= kLargestWhole;
  return whole ? nlohmann::json(static_cast<int64_t>(value)).dump()
               : nlohmann::json(value).dump();
}

std::string PolicySpec::ToString() const {
  std::string text = name;
  const char* separator = "(";
  for (const auto& [key, value] : parameters) {
    absl::StrAppend(&text, separator, key, "=", NumberText(value));
    separator = ",";
  }
  if (!parameters.empty()) text += ')';
  if (trigger)
    absl::StrAppend(&text, "@", trigger->name, "(", NumberText(trigger->value),
                    ")");
  return text;
}

absl::StatusOr<PolicySpec> ParsePolicySpec(std::string_view text) {
  absl::string_view rest =
      absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  PolicySpec spec;
  if (const size_t at = rest.find('@'); at != absl::string_view::npos) {
    ASSIGN_OR_RETURN(spec.trigger, ParseTrigger(text, rest.substr(at + 1)));
    rest = rest.substr(0, at);
  }
  const size_t open = rest.find('(');
  spec.name = std::string(rest.substr(0, open));
  if (!IsName(spec.name))
    return Malformed(text, "the name must be lower-case letters, digits and _");
  if (open == absl::string_view::npos) return spec;
  if (rest.back() != ')') return Malformed(text, "')' is missing at the end");
  rest = rest.substr(open + 1, rest.size() - open - 2);
  if (absl::StripAsciiWhitespace(rest).empty()) return spec;
  for (absl::string_view part : absl::StrSplit(rest, ',')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const std::string key(absl::StripAsciiWhitespace(pair.first));
    double value = 0;
    if (!IsName(key) || !ReadNumber(pair.second, &value))
      return Malformed(text,
                       absl::StrCat("'", OneLine({part.data(), part.size()}),
                                    "' is not a name=number pair"));
    if (!spec.parameters.emplace(key, value).second)
      return Malformed(text, absl::StrCat("parameter ", key, " stands twice"));
  }
  return spec;
}

absl::StatusOr<std::vector<PolicySpec>> ParsePolicySpecs(
    std::string_view text) {
  std::vector<PolicySpec> specs;
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) {
      depth += (text[i] == '(') - (text[i] == ')');
      if (text[i] != ',' || depth > 0) continue;
    }
    ASSIGN_OR_RETURN(PolicySpec spec,
                     ParsePolicySpec(text.substr(begin, i - begin)));
    if (std::find(specs.begin(), specs.end(), spec) != specs.end())
      return absl::InvalidArgumentError(
          absl::StrCat("policy ", OneLine(spec.ToString()), " is given twice"));
    specs.push_back(std::move(spec));
    begin = i + 1;
  }
  return specs;
}

}  // namespace kvrecall
