#pragma once

// Memory for what every step reads from end to end: weights and KV cache.

#include "ATen/core/Tensor.h"

namespace kvrecall {

// A tensor of zeros. On a CPU, if it is large, it lies in memory of its own
// that the system is asked to hold in huge pages: with pages of 4 KiB the
// processor waits for their addresses instead of for their bytes (reading goes
// up to one and a half times as fast). Its memory is taken from the system as
// it is first written to. Throws std::bad_alloc, or libtorch's own exceptions.
// Thread-safe.
at::Tensor ZerosOnHugePages(at::IntArrayRef shape,
                            const at::TensorOptions& options);

}  // namespace kvrecall
