#include "common/analysis/verdict.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvrecall {
namespace {

std::string Between(const Interval& interval) {
  return absl::StrFormat("[%+.3f, %+.3f]", interval.low, interval.high);
}

VerdictLine NotEnough(std::string reason) {
  return {Finding::kNotEnoughData, std::move(reason)};
}

std::optional<VerdictLine> TooFewSamples(int64_t samples) {
  if (samples >= kLeastSamples) return std::nullopt;
  return NotEnough(
      absl::StrCat(samples, " samples; ", kLeastSamples, " are needed"));
}

// Whether a number lies below 0.
VerdictLine BelowZero(const char* name, std::optional<double> value,
                      const std::optional<Interval>& interval) {
  if (!value || !interval)
    return NotEnough(
        absl::StrCat(name, " is not defined: entropy or recall is constant"));
  const std::string figures =
      absl::StrFormat("%s %+.3f %s", name, *value, Between(*interval));
  if (interval->high < 0) return {Finding::kSupported, figures};
  return {Finding::kNotSupported,
          absl::StrCat(figures, interval->low > 0 ? ", above 0"
                                                  : ", the interval has 0")};
}

std::optional<VerdictLine> TooFewSteps(const char* name,
                                       const BudgetEvidence::Outer& bin) {
  if (bin.steps >= kLeastOuterSteps && bin.samples >= kLeastOuterSamples &&
      bin.mean && bin.interval)
    return std::nullopt;
  return NotEnough(absl::StrCat(name, " bin: ", bin.steps, " steps of ",
                                bin.samples, " samples; ", kLeastOuterSteps,
                                " of ", kLeastOuterSamples, " are needed"));
}

VerdictLine JudgeCriterion(const BudgetEvidence& evidence) {
  if (auto few = TooFewSteps("low", evidence.low)) return *few;
  if (auto few = TooFewSteps("high", evidence.high)) return *few;
  const Interval low = *evidence.low.interval, high = *evidence.high.interval;
  const bool holds = low.low >= kHighRecall && high.high < kLowRecall;
  return {holds ? Finding::kSupported : Finding::kNotSupported,
          absl::StrFormat("recall below %g nat %.3f [%.3f, %.3f], asked >= %g; "
                          "above %g nats %.3f [%.3f, %.3f], asked < %g",
                          kLowEntropy, *evidence.low.mean, low.low, low.high,
                          kHighRecall, kHighEntropy, *evidence.high.mean,
                          high.low, high.high, kLowRecall)};
}

}  // namespace

const char* FindingName(Finding finding) {
  switch (finding) {
    case Finding::kSupported:
      return "supported";
    case Finding::kNotSupported:
      return "not supported";
    case Finding::kNotEnoughData:
      return "not enough data";
  }
  return "";
}

BudgetVerdict Judge(const BudgetEvidence& evidence, int64_t samples) {
  BudgetVerdict verdict;
  verdict.budget = evidence.budget;
  if (const auto few = TooFewSamples(samples)) {
    verdict.falls = verdict.criterion = *few;
    if (evidence.has_larger) verdict.stronger = *few;
    return verdict;
  }
  verdict.falls = BelowZero("slope", evidence.slope, evidence.slope_interval);
  if (evidence.has_larger)
    verdict.stronger = BelowZero("difference of r", evidence.difference,
                                 evidence.difference_interval);
  verdict.criterion = JudgeCriterion(evidence);
  return verdict;
}

}  // namespace kvrecall
