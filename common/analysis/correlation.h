#pragma once

// Correlation of two columns. Thread-safe: no shared state.
//
// Every function: INVALID_ARGUMENT if lengths differ or a value is not finite;
// r is nullopt where it is not defined, never 0 instead.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

struct Correlation {
  std::optional<double> r = {};  // in [-1, 1]
  int64_t n = 0;                 // pairs
};

// Pearson's r of the pairs (x[i], y[i]): the sum of the products of the
// deviations from the means over the root of the product of their sums of
// squares. Not defined for fewer than two pairs or if a column is constant.
// Two passes, compensated sums, scaled so that no square over- or underflows.
absl::StatusOr<Correlation> Pearson(std::span<const double> x,
                                    std::span<const double> y);

// Spearman's ρ: Pearson's r of the ranks, ties sharing their mean rank.
absl::StatusOr<Correlation> Spearman(std::span<const double> x,
                                     std::span<const double> y);

// Pearson's r of what is left of x and y when the least-squares fit on the
// controls and a constant is taken away. Not defined for fewer pairs than
// controls + 3, or if nothing is left of a column. A control that is constant,
// or a combination of those before it, takes nothing away.
absl::StatusOr<Correlation> PartialCorrelation(
    std::span<const double> x, std::span<const double> y,
    const std::vector<std::span<const double>>& controls);

// The increase of y per unit of x on the least-squares line; nullopt for fewer
// than two pairs or a constant x.
absl::StatusOr<std::optional<double>> Slope(std::span<const double> x,
                                            std::span<const double> y);

// The values less the mean of their sample; exactly 0 where all of a sample are
// equal. `first`: where each sample begins, and the end. r of two such columns
// is the correlation within samples.
std::vector<double> WithinSamples(std::span<const double> values,
                                  std::span<const int64_t> first);

// Ranks within each sample, as WithinSamples has them less their mean.
std::vector<double> RanksWithinSamples(std::span<const double> values,
                                       std::span<const int64_t> first);

}  // namespace kvrecall
