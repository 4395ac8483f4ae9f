#pragma once

// The policies, budgets and gap lanes that metrics tell apart: chosen when the
// server starts, so that every series is there from then on and their number
// has a bound. Whatever else runs measure counts under "other".

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/budget.h"
#include "common/record/gap_spec.h"
#include "common/record/policy_spec.h"

namespace kvrecall {

inline constexpr size_t kMostPolicyLabels = 6;
inline constexpr size_t kMostBudgetLabels = 4;
inline constexpr char kOtherLabel[] = "other";

struct LaneLabel {
  std::string label;  // as it was given: "snapkv(w=64)"
  std::string name;   // with all parameters: "snapkv(kernel=7,w=64)"
};

struct LaneLabels {
  std::vector<LaneLabel> policies;
  std::vector<LaneLabel> budgets;
  // Of those policies and budgets, what `submit --gap` measures.
  std::vector<LaneLabel> gaps;
};

// The names that lanes of runs are found by.
std::string LaneName(const PolicySpec& policy);
std::string LaneName(const Budget& budget);
std::string LaneName(const GapSpec& gap);

// "h2o,snapkv(w=64)" and "0.1,tokens:512". InvalidArgument: what is wrong with
// which of the two, as --metrics-policies and --metrics-budgets.
absl::StatusOr<LaneLabels> ParseLaneLabels(std::string_view policies,
                                           std::string_view budgets);

}  // namespace kvrecall
