#include "common/analysis/student.h"

#include <cmath>
#include <limits>

namespace kvrecall {
namespace {

// The continued fraction by itself; converges fast for x < (a + 1)/(a + b + 2).
double BetaFraction(double a, double b, double x) {
  constexpr double kTiny = std::numeric_limits<double>::min();
  constexpr double kEnough = 1e-16;
  // The number of terms grows with the root of the larger parameter.
  const int most = 1000 + static_cast<int>(10 * std::sqrt(std::fmax(a, b)));
  const auto away_from_zero = [](double value) {
    return std::fabs(value) < kTiny ? kTiny : value;
  };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double fraction = d;
  for (int m = 1; m <= most; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    fraction *= d * c;
    const double odd =
        -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    fraction *= d * c;
    if (std::fabs(d * c - 1) < kEnough) break;
  }
  return fraction;
}

}  // namespace

double IncompleteBeta(double a, double b, double x, double rest) {
  if (x <= 0) return 0;
  if (rest <= 0) return 1;
  const double factor =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
               a * std::log(x) + b * std::log(rest));
  if (x < (a + 1) / (a + b + 2)) return factor * BetaFraction(a, b, x) / a;
  return 1 - factor * BetaFraction(b, a, rest) / b;
}

std::optional<double> NaiveP(double r, int64_t n, int controls) {
  const int64_t freedom = n - 2 - controls;
  if (freedom < 1) return std::nullopt;
  // x = ν / (ν + t²) = 1 − r².
  return IncompleteBeta(static_cast<double>(freedom) / 2, 0.5,
                        (1 - r) * (1 + r), r * r);
}

}  // namespace kvrecall
