#pragma once

// The selector on the CPU, and its twin from libtorch's operators, which any
// device can run: see selector.h.

#include <cstdint>
#include <span>
#include <vector>

#include "server/telemetry/selector.h"

namespace kvrecall {

std::vector<RowSets> SelectTopOnCpu(std::span<const SelectionJob> jobs,
                                    std::span<const int64_t> ks);
at::Tensor CountCommonOnCpu(const RowSets& a, const RowSets& b);

std::vector<RowSets> SelectTopWithAten(std::span<const SelectionJob> jobs,
                                       std::span<const int64_t> ks);

}  // namespace kvrecall
