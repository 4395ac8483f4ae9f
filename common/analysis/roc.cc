#include "common/analysis/roc.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "common/analysis/ranks.h"

namespace kvrecall {
namespace {

double CountEvents(std::span<const uint8_t> event) {
  return static_cast<double>(std::count_if(event.begin(), event.end(),
                                           [](uint8_t e) { return e != 0; }));
}

}  // namespace

std::optional<double> RocArea(std::span<const double> signal,
                              std::span<const uint8_t> event) {
  const double with = CountEvents(event);
  const double without = static_cast<double>(event.size()) - with;
  if (with == 0 || without == 0) return std::nullopt;
  const std::vector<double> ranks = MidRanks(signal);
  double sum = 0;
  for (size_t i = 0; i < event.size(); ++i)
    if (event[i] != 0) sum += ranks[i];
  return (sum - with * (with + 1) / 2) / (with * without);
}

std::vector<RocPoint> RocCurve(std::span<const double> signal,
                               std::span<const uint8_t> event, int64_t most) {
  const double with = CountEvents(event);
  const double without = static_cast<double>(event.size()) - with;
  if (with == 0 || without == 0) return {};
  std::vector<RocPoint> points = {
      {std::numeric_limits<double>::infinity(), 0, 0}};
  const std::vector<size_t> order = AscendingOrder(signal);
  double hits = 0, alarms = 0;
  for (size_t i = order.size(); i-- > 0;) {
    ++(event[order[i]] != 0 ? hits : alarms);
    if (i == 0 || signal[order[i - 1]] != signal[order[i]])
      points.push_back({signal[order[i]], hits / with, alarms / without});
  }
  const auto count = static_cast<int64_t>(points.size());
  if (count <= most) return points;
  std::vector<RocPoint> some;
  for (int64_t i = 0; i < most; ++i)
    some.push_back(points[static_cast<size_t>(i * (count - 1) / (most - 1))]);
  return some;
}

}  // namespace kvrecall
