#pragma once

// The selector from libtorch's operators, on any device: see selector.h. The
// reference of the others, and the parts that they share.

#include <cstdint>
#include <span>
#include <vector>

#include "server/telemetry/selector.h"

namespace kvrecall {

std::vector<at::Tensor> FormSetsWithAten(std::span<const SetJob> jobs);

// The value of a budget's bit in a mask, as int16 has it.
int64_t MaskBit(int budget);

// Masks [R, N], int16, of the positions that the job's sets have.
at::Tensor SelectWithAten(const SetJob& job);

// Puts the masks into the job's `held`, if it has one. Returns which bits are
// new where that is to be counted, else an undefined tensor.
at::Tensor TakeHeld(const SetJob& job, const at::Tensor& masks);

}  // namespace kvrecall
