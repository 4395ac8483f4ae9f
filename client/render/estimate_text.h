#pragma once

// Estimates with their intervals as text: "0.155 [0.152, 0.159]", "–" where not
// defined. Thread-safe: no shared state.

#include <optional>
#include <string>

#include "common/analysis/run_analysis.h"

namespace kvrecall {

// Three decimals, without a sign for positive numbers.
std::string EstimateText(const Estimate& estimate);
// With a sign always.
std::string SignedEstimateText(const Estimate& estimate, int decimals);
// A correlation: with a sign, two decimals.
std::string EstimateText(const CorrelationEstimate& estimate);

// Three decimals; small ones as "< 0.001".
std::string PText(std::optional<double> p);

}  // namespace kvrecall
