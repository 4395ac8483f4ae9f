#pragma once

// The selector on CUDA: see selector.h. Nothing of size N leaves the device,
// and nothing waits for it.

#include <span>
#include <vector>

#include "server/telemetry/selector.h"

namespace kvrecall {

std::vector<at::Tensor> FormSetsOnCuda(std::span<const SetJob> jobs);

}  // namespace kvrecall
