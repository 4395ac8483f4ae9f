#include "common/analysis/check.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"

namespace kvrecall {

absl::Status CheckFinite(std::string_view column,
                         std::span<const double> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(column), "[", i, "] is ", values[i],
                     "; expected a finite number"));
  }
  return absl::OkStatus();
}

absl::Status CheckSameLength(std::string_view a, size_t a_size,
                             std::string_view b, size_t b_size) {
  if (a_size == b_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(a), " has ", a_size, " values, ", std::string(b),
                   " has ", b_size, "; expected as many of both"));
}

}  // namespace kvrecall
