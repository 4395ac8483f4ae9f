#include "common/analysis/correlation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "common/analysis/check.h"
#include "common/analysis/mean.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

bool IsConstant(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(),
                     [&](double value) { return value == values.front(); });
}

// Multiplies by the power of two, exactly (r does not see it), that brings the
// largest magnitude into [1/2, 1).
void ScaleToOne(std::vector<double>& values) {
  double largest = 0;
  for (double value : values) largest = std::max(largest, std::abs(value));
  int exponent = 0;
  std::frexp(largest, &exponent);
  for (double& value : values) value = std::ldexp(value, -exponent);
}

void SubtractMean(std::vector<double>& values) {
  CompensatedSum sum;
  for (double value : values) sum.Add(value);
  const double mean = sum.Total() / static_cast<double>(values.size());
  for (double& value : values) value -= mean;
}

// The deviations from the mean, up to a factor. `values` is not constant, so
// not all are 0.
std::vector<double> Deviations(std::span<const double> values) {
  std::vector<double> out(values.begin(), values.end());
  ScaleToOne(out);  // the sum cannot overflow
  SubtractMean(out);
  ScaleToOne(out);  // the squares cannot underflow
  // What the rounding of the first mean left.
  SubtractMean(out);
  return out;
}

double Product(std::span<const double> a, std::span<const double> b) {
  CompensatedSum sum;
  for (size_t i = 0; i < a.size(); ++i) sum.Add(a[i] * b[i]);
  return sum.Total();
}

}  // namespace

absl::StatusOr<Correlation> Pearson(std::span<const double> x,
                                    std::span<const double> y) {
  RETURN_IF_ERROR(CheckSameLength("x", x.size(), "y", y.size()));
  RETURN_IF_ERROR(CheckFinite("x", x));
  RETURN_IF_ERROR(CheckFinite("y", y));
  Correlation result{.r = std::nullopt, .n = static_cast<int64_t>(x.size())};
  if (x.size() < 2 || IsConstant(x) || IsConstant(y)) return result;
  const std::vector<double> dx = Deviations(x);
  const std::vector<double> dy = Deviations(y);
  const double r =
      Product(dx, dy) / std::sqrt(Product(dx, dx) * Product(dy, dy));
  // Rounding may take a perfect correlation past 1.
  result.r = std::clamp(r, -1.0, 1.0);
  return result;
}

}  // namespace kvrecall
