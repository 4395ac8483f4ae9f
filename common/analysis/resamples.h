#pragma once

// The bootstrap over samples: the steps of one answer are not independent, so
// whole samples are drawn, with replacement, as many as there are. Every
// statistic of a run is computed on the same draws, so that differences between
// lanes are differences within each draw.
//
// Resamples is immutable once made; the functions are thread-safe.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace kvrecall {

struct BootstrapOptions {
  int resamples = 2000;
  uint64_t seed = 0;
  double level = 0.95;  // of the intervals, in (0, 1)
  int threads = 0;      // 0: as many as the machine has
};

// InvalidArgument: fewer than 2000 resamples, or a level that is none.
absl::Status CheckBootstrap(const BootstrapOptions& options);

class Resamples {
 public:
  // `samples` ≥ 0, of which there may be one: then all draws are alike.
  Resamples(int64_t samples, const BootstrapOptions& options);

  int64_t samples() const { return samples_; }
  int count() const { return options_.resamples; }
  double level() const { return options_.level; }
  int threads() const { return threads_; }

  // How often draw `b` has each sample: [samples], whole numbers.
  std::span<const double> Weights(int b) const {
    return std::span(weights_).subspan(
        static_cast<size_t>(b) * static_cast<size_t>(samples_),
        static_cast<size_t>(samples_));
  }

 private:
  const int64_t samples_;
  const BootstrapOptions options_;
  const int threads_;
  std::vector<double> weights_;  // [count, samples]
};

// A statistic on each draw; NaN where the draw does not define it.
using Replicates = std::vector<double>;

struct Interval {
  double low = 0;
  double high = 0;

  friend bool operator==(const Interval&, const Interval&) = default;
};

// The percentile interval over the draws that define the statistic, quantiles
// interpolated linearly. nullopt with fewer than two samples, or where fewer
// than half of the draws define it.
std::optional<Interval> PercentileInterval(const Resamples& resamples,
                                           const Replicates& replicates);

// Twice the smaller share of draws on one side of 0 (0 itself on both), a draw
// more counted on each, so that it is never 0; at most 1. nullopt as above.
std::optional<double> BootstrapP(const Resamples& resamples,
                                 const Replicates& replicates);

// a − b, draw by draw.
Replicates Difference(const Replicates& a, const Replicates& b);

// The totals of each draw over columns that each sample has one number of:
// sums [samples, columns] → [count, columns].
std::vector<double> DrawTotals(const Resamples& resamples,
                               std::span<const double> sums, int columns);

}  // namespace kvrecall
