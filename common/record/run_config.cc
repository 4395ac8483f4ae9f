#include "common/record/run_config.h"

#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {

std::string_view ForceName(Force force) {
  switch (force) {
    case Force::kNone:
      return "none";
    case Force::kGold:
      return "gold";
    case Force::kText:
      return "text";
  }
  return "unknown";
}

absl::StatusOr<Force> ParseForce(std::string_view text) {
  for (const Force force : {Force::kNone, Force::kGold, Force::kText})
    if (text == ForceName(force)) return force;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown forced continuation '", OneLine(text),
                   "'; give none, gold or text"));
}

std::vector<Lane> Lanes(const RunConfig& config) {
  std::vector<Lane> lanes;
  for (size_t p = 0; p < config.policies.size(); ++p)
    for (size_t s = 0; s < config.scopes.size(); ++s) {
      if (!IsDefinedIn(config.policies[p], config.scopes[s])) continue;
      for (size_t b = 0; b < config.budgets.size(); ++b)
        lanes.push_back(
            {static_cast<int>(p), static_cast<int>(s), static_cast<int>(b)});
    }
  return lanes;
}

}  // namespace kvrecall
