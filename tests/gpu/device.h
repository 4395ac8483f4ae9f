#pragma once

// The device that these tests run on.

#include "ATen/core/Tensor.h"

namespace kvrecall {

inline at::Device TestDevice() { return at::Device(at::kCUDA, 0); }

inline at::TensorOptions OnDevice(at::ScalarType dtype) {
  return at::TensorOptions().device(TestDevice()).dtype(dtype);
}

}  // namespace kvrecall
