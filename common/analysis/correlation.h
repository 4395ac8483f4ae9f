#pragma once

// Correlation of two columns. Thread-safe: no shared state.

#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/statusor.h"

namespace kvrecall {

struct Correlation {
  // In [-1, 1]; nullopt where it is not defined, never 0 instead.
  std::optional<double> r = {};
  int64_t n = 0;  // pairs
};

// Pearson's r of the pairs (x[i], y[i]): the sum of the products of the
// deviations from the means over the root of the product of their sums of
// squares. Not defined for fewer than two pairs or if a column is constant.
// Two passes, compensated sums, scaled so that no square over- or underflows.
// INVALID_ARGUMENT if the lengths differ or a value is not finite.
absl::StatusOr<Correlation> Pearson(std::span<const double> x,
                                    std::span<const double> y);

}  // namespace kvrecall
