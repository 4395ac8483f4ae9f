#pragma once

// Probabilities of Student's t distribution, for the naive p of a correlation.
// Thread-safe: no shared state.

#include <cstdint>
#include <optional>

namespace kvrecall {

// The probability that |r| is at least this large where the truth is 0 and the
// pairs are independent and normal: of t = r·√(ν / (1 − r²)) with
// ν = n − 2 − controls degrees of freedom, both sides. nullopt where ν < 1.
// Pairs that are steps of one text are not independent: then it is too small.
std::optional<double> NaiveP(double r, int64_t n, int controls = 0);

// The regularised incomplete beta function I_x(a, b), by Lentz's evaluation of
// its continued fraction (Abramowitz and Stegun, 26.5.8). a, b > 0; `x` and
// `rest` = 1 − x in [0, 1], both given so that neither is rounded away.
double IncompleteBeta(double a, double b, double x, double rest);

}  // namespace kvrecall
