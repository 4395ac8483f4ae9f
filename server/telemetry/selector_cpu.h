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
at::Tensor CompareRowSetsOnCpu(const RowSets& gold, const RowSets& predicted);

std::vector<RowSets> SelectTopWithAten(std::span<const SelectionJob> jobs,
                                       std::span<const int64_t> ks);
at::Tensor CompareRowSetsWithAten(const RowSets& gold,
                                  const RowSets& predicted);

}  // namespace kvrecall
