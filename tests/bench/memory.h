#pragma once

// How much memory the process, or the device's allocator, has had at most.

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace kvrecall::bench {

// Bytes that are held now, and the most since ResetPeakMemory: resident bytes
// of the process on the CPU (Linux), the caching allocator's on CUDA. 0 where
// the system does not say.
int64_t CurrentMemory(const at::Device& device);
int64_t PeakMemory(const at::Device& device);
void ResetPeakMemory(const at::Device& device);

}  // namespace kvrecall::bench
