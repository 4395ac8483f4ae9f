#include "common/record/budget.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr char kForms[] =
    "a ratio in (0, 1] such as 0.2, prompt:0.2 or tokens:512";

// The shortest decimal form that reads back as the same double.
std::string Shortest(double value) { return nlohmann::json(value).dump(); }

}  // namespace

int64_t Budget::Positions(int64_t positions, int64_t prompt_tokens) const {
  double k = value;
  if (kind == Kind::kCurrentRatio) k = std::floor(value * positions);
  if (kind == Kind::kPromptRatio) k = std::floor(value * prompt_tokens);
  return std::clamp<int64_t>(static_cast<int64_t>(k), 1,
                             std::max<int64_t>(positions, 1));
}

std::string Budget::ToString() const {
  switch (kind) {
    case Kind::kCurrentRatio:
      return Shortest(value);
    case Kind::kPromptRatio:
      return absl::StrCat("prompt:", Shortest(value));
    case Kind::kTokens:
      return absl::StrCat("tokens:", static_cast<int64_t>(value));
  }
  return "";
}

absl::StatusOr<Budget> ParseBudget(std::string_view text) {
  absl::string_view rest(text.data(), text.size());
  Budget budget;
  if (absl::ConsumePrefix(&rest, "tokens:")) {
    budget.kind = Budget::Kind::kTokens;
    int64_t tokens = 0;
    if (!absl::SimpleAtoi(rest, &tokens) || tokens < 1 ||
        tokens > std::numeric_limits<int32_t>::max())
      return absl::InvalidArgumentError(
          absl::StrCat("budget '", OneLine(text),
                       "': the number of tokens must be a whole number of at "
                       "least 1"));
    budget.value = static_cast<double>(tokens);
    return budget;
  }
  if (absl::ConsumePrefix(&rest, "prompt:"))
    budget.kind = Budget::Kind::kPromptRatio;
  if (!absl::SimpleAtod(rest, &budget.value))
    return absl::InvalidArgumentError(
        absl::StrCat("budget '", OneLine(text), "' is not ", kForms));
  if (!(budget.value > 0 && budget.value <= 1))
    return absl::InvalidArgumentError(absl::StrCat(
        "budget '", OneLine(text), "' is outside (0, 1]; give ", kForms));
  return budget;
}

absl::StatusOr<std::vector<Budget>> ParseBudgets(std::string_view text) {
  std::vector<Budget> budgets;
  for (absl::string_view part :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    ASSIGN_OR_RETURN(
        Budget budget,
        ParseBudget(std::string(absl::StripAsciiWhitespace(part))));
    if (std::find(budgets.begin(), budgets.end(), budget) != budgets.end())
      return absl::InvalidArgumentError(
          absl::StrCat("budget ", budget.ToString(), " is given twice"));
    budgets.push_back(budget);
  }
  return budgets;
}

}  // namespace kvrecall
