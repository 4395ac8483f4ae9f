#include "common/analysis/binning.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "common/analysis/bins.h"

namespace kvrecall {

Binning BinBy(std::vector<double> edges, std::span<const double> keys,
              std::span<const int64_t> first) {
  Binning binning;
  binning.edges = std::move(edges);
  const size_t count = binning.edges.size() - 1;
  binning.steps.resize(count);
  binning.samples.resize(count);
  std::vector<size_t> last_sample(count, std::numeric_limits<size_t>::max());
  for (size_t s = 0; s + 1 < first.size(); ++s)
    for (int64_t i = first[s]; i < first[s + 1]; ++i) {
      const int bin = BinOf(binning.edges, keys[static_cast<size_t>(i)]);
      binning.bin_of.push_back(bin);
      if (bin < 0) continue;
      const auto b = static_cast<size_t>(bin);
      ++binning.steps[b];
      if (last_sample[b] != s) ++binning.samples[b];
      last_sample[b] = s;
    }
  return binning;
}

std::vector<double> QuantileEdges(std::span<const double> keys, int bins) {
  std::vector<double> sorted(keys.begin(), keys.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> edges = {sorted.front()};
  for (int b = 1; b < bins; ++b) {
    const double edge = sorted[sorted.size() * static_cast<size_t>(b) /
                               static_cast<size_t>(bins)];
    if (edge > edges.back()) edges.push_back(edge);
  }
  edges.push_back(std::numeric_limits<double>::infinity());
  return edges;
}

std::vector<double> TenthEdges() {
  std::vector<double> edges;
  for (int i = 0; i < 10; ++i) edges.push_back(i / 10.0);
  edges.push_back(std::numeric_limits<double>::infinity());
  return edges;
}

}  // namespace kvrecall
