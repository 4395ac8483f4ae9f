#include "common/analysis/ranks.h"

#include <algorithm>

namespace kvrecall {

std::vector<size_t> AscendingOrder(std::span<const double> values) {
  // Values travel with their places: a comparison does not jump about.
  struct Placed {
    double value;
    size_t place;
  };
  std::vector<Placed> placed(values.size());
  for (size_t i = 0; i < values.size(); ++i) placed[i] = {values[i], i};
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return a.value != b.value ? a.value < b.value : a.place < b.place;
  });
  std::vector<size_t> order(values.size());
  for (size_t i = 0; i < placed.size(); ++i) order[i] = placed[i].place;
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
