#pragma once

// Memory for what every step reads from end to end: weights, KV cache, and what
// telemetry keeps of a text.

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

// Several tensors of zeros in one such memory: for those that are too small
// each. Ask for all of them with Add, then Take them in the same order. One
// thread.
class SharedHugePages {
 public:
  void Add(at::IntArrayRef shape, at::ScalarType dtype);
  // The next tensor; the first call takes the memory, all on one device.
  at::Tensor Take(at::IntArrayRef shape, at::ScalarType dtype,
                  at::Device device);

 private:
  at::Tensor bytes_;  // uint8
  int64_t asked_ = 0, taken_ = 0;
};

}  // namespace kvrecall
