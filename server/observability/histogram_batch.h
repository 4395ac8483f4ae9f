#pragma once

// Values for one histogram, handed over together when this goes:
// prometheus-cpp takes a lock for each call. Not thread-safe.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "prometheus/histogram.h"

namespace kvrecall {

class HistogramBatch {
 public:
  // `bounds` are those that it was made with; both outlive this.
  HistogramBatch(prometheus::Histogram* histogram,
                 std::span<const double> bounds)
      : histogram_(*histogram), bounds_(bounds), counts_(bounds.size() + 1) {}
  ~HistogramBatch() {
    if (has_values_) histogram_.ObserveMultiple(counts_, sum_);
  }
  HistogramBatch(const HistogramBatch&) = delete;
  HistogramBatch& operator=(const HistogramBatch&) = delete;

  // One that is not finite would spoil the sum for good, and is left out.
  void Add(double value) {
    if (!std::isfinite(value)) return;
    has_values_ = true;
    sum_ += value;
    const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    counts_[static_cast<size_t>(bucket - bounds_.begin())] += 1;
  }

 private:
  prometheus::Histogram& histogram_;
  const std::span<const double> bounds_;
  std::vector<double> counts_;  // by bucket
  double sum_ = 0;
  bool has_values_ = false;
};

}  // namespace kvrecall
