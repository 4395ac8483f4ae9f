#include "client/render/estimate_text.h"

#include "absl/strings/str_cat.h"

#include "client/render/result_table.h"

namespace kvrecall {
namespace {

// `format` makes the text of one number.
template <typename Format>
std::string WithInterval(std::optional<double> value,
                         const std::optional<Interval>& interval,
                         Format format) {
  if (!value || !interval) return format(value);
  return absl::StrCat(format(value), " [", format(interval->low), ", ",
                      format(interval->high), "]");
}

}  // namespace

std::string EstimateText(const Estimate& estimate) {
  return WithInterval(
      estimate.value, estimate.interval,
      [](std::optional<double> number) { return FormatFixed(number, 3); });
}

std::string SignedEstimateText(const Estimate& estimate, int decimals) {
  return WithInterval(estimate.value, estimate.interval,
                      [decimals](std::optional<double> number) {
                        return FormatSigned(number, decimals);
                      });
}

std::string EstimateText(const CorrelationEstimate& estimate) {
  return WithInterval(
      estimate.r, estimate.interval,
      [](std::optional<double> number) { return FormatSigned(number, 2); });
}

std::string PText(std::optional<double> p) {
  if (!p) return FormatFixed(p, 3);
  return *p < 0.001 ? "< 0.001" : FormatFixed(p, 3);
}

}  // namespace kvrecall
