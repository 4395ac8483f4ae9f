#pragma once

// The selector on the CPU: see selector.h.

#include <span>
#include <vector>

#include "server/telemetry/selector.h"

namespace kvrecall {

std::vector<at::Tensor> FormSetsOnCpu(std::span<const SetJob> jobs);

}  // namespace kvrecall
