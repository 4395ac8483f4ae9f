#pragma once

// Between the host and a device without waiting for it. The copies run on the
// device's current stream.

#include <algorithm>
#include <memory>
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

// Tensors on their way to the host. Belongs to one thread.
class HostCopies {
 public:
  HostCopies();
  ~HostCopies();

  // What `t` holds when all that was queued before has been done, on the host:
  // to be read after Wait. On the CPU it is `t` itself.
  at::Tensor Add(const at::Tensor& t);

  // Until what was added has arrived.
  void Wait();

 private:
  struct Point;
  std::unique_ptr<Point> last_;  // behind the last copy; null: none is made
};

}  // namespace kvrecall
