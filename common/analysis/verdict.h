#pragma once

// The answer that the study asks for, by criteria that were there before the
// numbers. Thread-safe: no shared state.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/analysis/resamples.h"
#include "common/record/budget.h"

namespace kvrecall {

enum class Finding { kSupported, kNotSupported, kNotEnoughData };

// "supported", "not supported", "not enough data".
const char* FindingName(Finding finding);

// What a budget's verdict rests on.
struct BudgetEvidence {
  Budget budget;
  std::optional<double> slope;  // recall per nat of entropy, pooled
  std::optional<Interval> slope_interval;
  // Pearson at this budget less that at the next larger one; none at the
  // largest.
  bool has_larger = false;
  std::optional<double> difference;
  std::optional<Interval> difference_interval;
  // Steps below kLowEntropy and above kHighEntropy.
  struct Outer {
    int64_t steps = 0;
    int64_t samples = 0;
    std::optional<double> mean;
    std::optional<Interval> interval;
  } low, high;
};

inline constexpr double kLowEntropy = 1;     // nats: below it
inline constexpr double kHighEntropy = 2.5;  // nats: above it
inline constexpr double kHighRecall = 0.8;   // in the low bin, at least
inline constexpr double kLowRecall = 0.5;    // in the high bin, below
inline constexpr int64_t kLeastSamples = 20;
inline constexpr int64_t kLeastOuterSteps = 30;
inline constexpr int64_t kLeastOuterSamples = 10;

struct VerdictLine {
  Finding finding = Finding::kNotEnoughData;
  std::string reason;  // with the numbers
};

struct BudgetVerdict {
  Budget budget;
  VerdictLine falls;                    // H1: the slope is below 0
  std::optional<VerdictLine> stronger;  // H2: than at the next larger budget
  VerdictLine criterion;                // the study's
};

struct Verdict {
  std::string policy, scope;  // what it was judged on
  std::vector<BudgetVerdict> budgets;
};

// Of one budget, in a run of so many samples with steps.
BudgetVerdict Judge(const BudgetEvidence& evidence, int64_t samples);

}  // namespace kvrecall
