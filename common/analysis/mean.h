#pragma once

// Sums and means in double precision whose error does not grow with the number
// of values. The functions are thread-safe; a CompensatedSum has one owner.

#include <cmath>
#include <optional>
#include <span>

#include "absl/status/statusor.h"

namespace kvrecall {

// Neumaier's compensated summation: the error is about one rounding of the
// result, however many values were added.
class CompensatedSum {
 public:
  void Add(double value) {
    const double total = sum_ + value;
    // The smaller of the two lost its low bits in the addition.
    if (std::abs(sum_) >= std::abs(value)) {
      lost_ += (sum_ - total) + value;
    } else {
      lost_ += (value - total) + sum_;
    }
    sum_ = total;
  }
  double Total() const { return sum_ + lost_; }

 private:
  double sum_ = 0;
  double lost_ = 0;  // what the roundings of sum_ took away
};

// The arithmetic mean; nullopt if there are no values. INVALID_ARGUMENT if a
// value is not finite.
absl::StatusOr<std::optional<double>> Mean(std::span<const double> values);

}  // namespace kvrecall
