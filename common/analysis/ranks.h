#pragma once

// Ranks of a column. Thread-safe: no shared state.

#include <cstddef>
#include <span>
#include <vector>

namespace kvrecall {

// Positions of the values in ascending order; equal values in the order given.
// The values are finite.
std::vector<size_t> AscendingOrder(std::span<const double> values);

// The rank of each value, from 1; equal values share the mean of their ranks.
// The values are finite.
std::vector<double> MidRanks(std::span<const double> values);

}  // namespace kvrecall
