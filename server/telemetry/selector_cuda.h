#pragma once

// The selector on CUDA: see selector.h. Nothing of size N leaves the device,
// and nothing waits for it: one copy to it and one launch for all jobs.

#include <span>
#include <vector>

#include "server/telemetry/selector.h"

namespace kvrecall {

// Throws c10::Error where memory runs out or a job is not as selector.h has it.
std::vector<at::Tensor> FormSetsOnCuda(std::span<const SetJob> jobs);

}  // namespace kvrecall
