#include "common/analysis/ranks.h"

#include <algorithm>
#include <numeric>

namespace kvrecall {

std::vector<size_t> AscendingOrder(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] < values[b]; });
  return order;
}

std::vector<double> MidRanks(std::span<const double> values) {
  const std::vector<size_t> order = AscendingOrder(values);
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]])
      ++end;
    // The mean of begin + 1 … end.
    const double rank = static_cast<double>(begin + end + 1) / 2;
    for (; begin < end; ++begin) ranks[order[begin]] = rank;
  }
  return ranks;
}

}  // namespace kvrecall
