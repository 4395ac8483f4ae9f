#pragma once

// Clocks and medians for the benchmarks.

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "ATen/core/Tensor.h"

#include "server/engine/compat.h"

namespace kvrecall::bench {

// How long `body` takes on the device, work that it only queued included.
template <typename Body>
double Seconds(const at::Device& device, Body body) {
  SynchronizeDevice(device);
  const auto begin = std::chrono::steady_clock::now();
  body();
  SynchronizeDevice(device);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

// The middle value, or the mean of the two; 0 of none.
inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

// Of a[i] / b[i]; NaN where one was not measured.
inline double MedianRatio(const std::vector<double>& a,
                          const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> ratios;
  for (size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  return Median(ratios);
}

}  // namespace kvrecall::bench
