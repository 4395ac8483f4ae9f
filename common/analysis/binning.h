#pragma once

// Which bin of a key each step is in: made once for many columns. Thread-safe:
// no shared state.

#include <cstdint>
#include <span>
#include <vector>

namespace kvrecall {

// Bin b is [edges[b], edges[b + 1]).
struct Binning {
  std::vector<double> edges;
  std::vector<int> bin_of;              // [steps]; −1: in none
  std::vector<int64_t> steps, samples;  // [bins]

  int count() const { return static_cast<int>(steps.size()); }
};

// `edges` ascend strictly, at least two; keys are finite and grouped by sample:
// `first` has where each begins, and the end.
Binning BinBy(std::vector<double> edges, std::span<const double> keys,
              std::span<const int64_t> first);

// Edges between so many bins of as many steps each, the last one open; fewer
// bins where keys are equal. `keys` is not empty.
std::vector<double> QuantileEdges(std::span<const double> keys, int bins);

// Tenths of [0, 1], 1 in the last.
std::vector<double> TenthEdges();

}  // namespace kvrecall
