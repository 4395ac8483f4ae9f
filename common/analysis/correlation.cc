#include "common/analysis/correlation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/analysis/check.h"
#include "common/analysis/mean.h"
#include "common/analysis/ranks.h"
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

absl::Status CheckPair(std::span<const double> x, std::span<const double> y) {
  RETURN_IF_ERROR(CheckSameLength("x", x.size(), "y", y.size()));
  RETURN_IF_ERROR(CheckFinite("x", x));
  return CheckFinite("y", y);
}

// Of deviations that are not all 0. Rounding may take a perfect correlation
// past 1.
double OfDeviations(std::span<const double> dx, std::span<const double> dy) {
  return std::clamp(
      Product(dx, dy) / std::sqrt(Product(dx, dx) * Product(dy, dy)), -1.0,
      1.0);
}

// Takes from `values` their part along `direction`.
void TakeAway(std::span<const double> direction, std::vector<double>& values) {
  const double factor =
      Product(direction, values) / Product(direction, direction);
  for (size_t i = 0; i < values.size(); ++i) values[i] -= factor * direction[i];
}

// What is left of a column when a constant and the directions, which are
// orthogonal, are taken away; empty if that is nothing but rounding.
std::vector<double> Residuals(
    std::span<const double> values,
    const std::vector<std::vector<double>>& directions) {
  // Of the deviations, whose largest is about 1.
  constexpr double kNothing = 1e-12;
  if (IsConstant(values)) return {};
  std::vector<double> left = Deviations(values);
  const double whole = std::sqrt(Product(left, left));
  // Twice: the second round takes what rounding left of the first.
  for (int round = 0; round < 2; ++round)
    for (const std::vector<double>& direction : directions)
      TakeAway(direction, left);
  if (std::sqrt(Product(left, left)) <= kNothing * whole) return {};
  return left;
}

}  // namespace

absl::StatusOr<Correlation> Pearson(std::span<const double> x,
                                    std::span<const double> y) {
  RETURN_IF_ERROR(CheckPair(x, y));
  Correlation result{.r = std::nullopt, .n = static_cast<int64_t>(x.size())};
  if (x.size() < 2 || IsConstant(x) || IsConstant(y)) return result;
  result.r = OfDeviations(Deviations(x), Deviations(y));
  return result;
}

absl::StatusOr<Correlation> Spearman(std::span<const double> x,
                                     std::span<const double> y) {
  RETURN_IF_ERROR(CheckPair(x, y));
  return Pearson(MidRanks(x), MidRanks(y));
}

absl::StatusOr<Correlation> PartialCorrelation(
    std::span<const double> x, std::span<const double> y,
    const std::vector<std::span<const double>>& controls) {
  RETURN_IF_ERROR(CheckPair(x, y));
  Correlation result{.r = std::nullopt, .n = static_cast<int64_t>(x.size())};
  std::vector<std::vector<double>> directions;
  for (const std::span<const double> control : controls) {
    RETURN_IF_ERROR(CheckSameLength("x", x.size(), "control", control.size()));
    RETURN_IF_ERROR(CheckFinite("control", control));
    std::vector<double> direction = control.empty()
                                        ? std::vector<double>()
                                        : Residuals(control, directions);
    if (!direction.empty()) directions.push_back(std::move(direction));
  }
  if (x.size() < controls.size() + 3) return result;
  const std::vector<double> dx = Residuals(x, directions);
  const std::vector<double> dy = Residuals(y, directions);
  if (dx.empty() || dy.empty()) return result;
  result.r = OfDeviations(dx, dy);
  return result;
}

absl::StatusOr<std::optional<double>> Slope(std::span<const double> x,
                                            std::span<const double> y) {
  ASSIGN_OR_RETURN(const Correlation correlation, Pearson(x, y));
  if (x.size() < 2 || IsConstant(x)) return std::optional<double>();
  // A constant y is level.
  if (!correlation.r) return std::optional<double>(0.0);
  const auto spread = [](std::span<const double> values) {
    std::vector<double> deviations(values.begin(), values.end());
    SubtractMean(deviations);
    SubtractMean(deviations);
    return std::sqrt(Product(deviations, deviations));
  };
  return std::optional<double>(*correlation.r * spread(y) / spread(x));
}

std::vector<double> WithinSamples(std::span<const double> values,
                                  std::span<const int64_t> first) {
  std::vector<double> out;
  out.reserve(values.size());
  for (size_t s = 0; s + 1 < first.size(); ++s) {
    const std::span<const double> sample =
        values.subspan(static_cast<size_t>(first[s]),
                       static_cast<size_t>(first[s + 1] - first[s]));
    if (sample.empty()) continue;
    std::vector<double> deviations(sample.begin(), sample.end());
    if (IsConstant(sample)) {
      std::fill(deviations.begin(), deviations.end(), 0.0);
    } else {
      SubtractMean(deviations);
      SubtractMean(deviations);
    }
    out.insert(out.end(), deviations.begin(), deviations.end());
  }
  return out;
}

std::vector<double> RanksWithinSamples(std::span<const double> values,
                                       std::span<const int64_t> first) {
  std::vector<double> ranks;
  ranks.reserve(values.size());
  for (size_t s = 0; s + 1 < first.size(); ++s) {
    const std::vector<double> of_sample =
        MidRanks(values.subspan(static_cast<size_t>(first[s]),
                                static_cast<size_t>(first[s + 1] - first[s])));
    ranks.insert(ranks.end(), of_sample.begin(), of_sample.end());
  }
  return WithinSamples(ranks, first);
}

}  // namespace kvrecall
