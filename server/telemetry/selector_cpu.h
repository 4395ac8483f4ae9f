#pragma once

// The selector on the CPU, and its twin from libtorch's operators, which any
// device can run: see selector.h.

#include <cstdint>
#include <span>

#include "server/telemetry/selector.h"

namespace kvrecall {

RowSets SelectTopOnCpu(const Scores& scores, const at::Tensor& weights,
                       std::span<const int64_t> ks);
at::Tensor CountCommonOnCpu(const RowSets& a, const RowSets& b);

RowSets SelectTopWithAten(const Scores& scores, const at::Tensor& weights,
                          std::span<const int64_t> ks);

}  // namespace kvrecall
