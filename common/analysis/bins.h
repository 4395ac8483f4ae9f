#pragma once

// A value's mean by bins of a key: recall by entropy. Thread-safe: no shared
// state.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

// The keys in [low, high).
struct Bin {
  double low;
  double high;                      // infinity in an open last bin
  int64_t n = 0;                    // points
  int64_t samples = 0;              // distinct samples among them
  std::optional<double> mean = {};  // of the values; nullopt if n = 0
};

struct BinTable {
  std::vector<Bin> bins;  // ascending; one fewer than there are edges
  int64_t outside = 0;    // points whose key is in no bin
};

// The edges of the entropy bins, in nats: 0, 0.5, 1, 1.5, 2, 2.5, 3, infinity.
std::span<const double> DefaultEntropyEdges();

// The bin whose [edges[b], edges[b + 1]) holds the key; −1: none does. Edges
// ascend strictly.
int BinOf(std::span<const double> edges, double key);

// Bins the points (keys[i], values[i]), which belong to sample samples[i]; the
// three spans have one length. Edges ascend strictly, at least two of them, the
// first or last may be infinite. INVALID_ARGUMENT where this does not hold, or
// a key or value is not finite.
absl::StatusOr<BinTable> MeanByBin(std::span<const double> keys,
                                   std::span<const double> values,
                                   std::span<const int64_t> samples,
                                   std::span<const double> edges);

}  // namespace kvrecall
