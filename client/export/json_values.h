#pragma once

// Values as all of the client's JSON has them. Thread-safe: no shared state.

#include <cmath>
#include <optional>

#include "nlohmann/json.hpp"

#include "common/record/budget.h"

namespace kvrecall {

// Null where it is not defined, or no number that JSON has.
inline nlohmann::ordered_json OrNull(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? nlohmann::ordered_json(*value)
                                        : nlohmann::ordered_json();
}

// A ratio of the current length as a number, others as their text.
inline nlohmann::ordered_json BudgetToJson(const Budget& budget) {
  return budget.kind == Budget::Kind::kCurrentRatio
             ? nlohmann::ordered_json(budget.value)
             : nlohmann::ordered_json(budget.ToString());
}

}  // namespace kvrecall
