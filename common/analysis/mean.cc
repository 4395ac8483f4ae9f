#include "common/analysis/mean.h"

#include "common/analysis/check.h"
#include "common/base/status_macros.h"

namespace kvrecall {

absl::StatusOr<std::optional<double>> Mean(std::span<const double> values) {
  RETURN_IF_ERROR(CheckFinite("values", values));
  if (values.empty()) return std::optional<double>();
  CompensatedSum sum;
  for (double value : values) sum.Add(value);
  return std::optional<double>(sum.Total() /
                               static_cast<double>(values.size()));
}

}  // namespace kvrecall
