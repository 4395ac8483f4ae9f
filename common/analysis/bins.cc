#include "common/analysis/bins.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <unordered_set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "common/analysis/check.h"
#include "common/analysis/mean.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr double kEntropyEdges[] = {
    0, 0.5, 1, 1.5, 2, 2.5, 3, std::numeric_limits<double>::infinity()};

absl::Status CheckEdges(std::span<const double> edges) {
  if (edges.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "bins have ", edges.size(), " edges; expected at least 2"));
  }
  for (size_t i = 0; i < edges.size(); ++i) {
    // Written so that NaN fails as well.
    if (std::isnan(edges[i]) || (i > 0 && !(edges[i - 1] < edges[i]))) {
      return absl::InvalidArgumentError(
          absl::StrCat("edges[", i, "] is ", edges[i],
                       "; expected a number greater than the edges before it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::span<const double> DefaultEntropyEdges() { return kEntropyEdges; }

int BinOf(std::span<const double> edges, double key) {
  // The first edge above the key closes the key's bin.
  const auto above = std::upper_bound(edges.begin(), edges.end(), key);
  if (above == edges.begin() || above == edges.end()) return -1;
  return static_cast<int>(above - edges.begin()) - 1;
}

absl::StatusOr<BinTable> MeanByBin(std::span<const double> keys,
                                   std::span<const double> values,
                                   std::span<const int64_t> samples,
                                   std::span<const double> edges) {
  RETURN_IF_ERROR(
      CheckSameLength("keys", keys.size(), "values", values.size()));
  RETURN_IF_ERROR(
      CheckSameLength("keys", keys.size(), "samples", samples.size()));
  RETURN_IF_ERROR(CheckEdges(edges));
  RETURN_IF_ERROR(CheckFinite("keys", keys));
  RETURN_IF_ERROR(CheckFinite("values", values));

  const size_t count = edges.size() - 1;
  BinTable table;
  std::vector<CompensatedSum> sums(count);
  std::vector<std::unordered_set<int64_t>> seen(count);
  for (size_t b = 0; b < count; ++b) {
    table.bins.push_back({.low = edges[b], .high = edges[b + 1]});
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    const int bin_of_key = BinOf(edges, keys[i]);
    if (bin_of_key < 0) {
      ++table.outside;
      continue;
    }
    const auto b = static_cast<size_t>(bin_of_key);
    ++table.bins[b].n;
    sums[b].Add(values[i]);
    seen[b].insert(samples[i]);
  }
  for (size_t b = 0; b < count; ++b) {
    Bin& bin = table.bins[b];
    bin.samples = static_cast<int64_t>(seen[b].size());
    if (bin.n > 0) bin.mean = sums[b].Total() / static_cast<double>(bin.n);
  }
  return table;
}

}  // namespace kvrecall
