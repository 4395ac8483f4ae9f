#pragma once

// From the host to a device without waiting for it. Stateless; the copy runs on
// the device's current stream.

#include <algorithm>
#include <span>

#include "ATen/core/Tensor.h"
#include "ATen/ops/empty.h"

namespace kvrecall {

// `numbers` [count] of the C++ type that `dtype` names, on `device`. To a GPU
// they go through memory that it reads by itself, which libtorch's allocator
// keeps until the copy has been made; so what is queued behind it need not wait
// on the host.
template <typename T>
at::Tensor CopyToDevice(std::span<const T> numbers, at::ScalarType dtype,
                        at::Device device) {
  at::Tensor host = at::empty(
      {static_cast<int64_t>(numbers.size())},
      at::TensorOptions().dtype(dtype).pinned_memory(device.is_cuda()));
  std::copy(numbers.begin(), numbers.end(), host.data_ptr<T>());
  return device.is_cpu() ? host : host.to(device, /*non_blocking=*/true);
}

}  // namespace kvrecall
