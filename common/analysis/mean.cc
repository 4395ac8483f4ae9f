#include "common/analysis/mean.h"

#include <cmath>

#include "common/analysis/check.h"
#include "common/base/status_macros.h"

namespace kvrecall {

void CompensatedSum::Add(double value) {
  const double total = sum_ + value;
  // The smaller of the two lost its low bits in the addition.
  if (std::abs(sum_) >= std::abs(value)) {
    lost_ += (sum_ - total) + value;
  } else {
    lost_ += (value - total) + sum_;
  }
  sum_ = total;
}

absl::StatusOr<std::optional<double>> Mean(std::span<const double> values) {
  RETURN_IF_ERROR(CheckFinite("values", values));
  if (values.empty()) return std::optional<double>();
  CompensatedSum sum;
  for (double value : values) sum.Add(value);
  return std::optional<double>(sum.Total() /
                               static_cast<double>(values.size()));
}

}  // namespace kvrecall
