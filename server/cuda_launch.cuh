#pragma once

// What every CUDA file of the server shares: launching on the device's current
// stream. Nothing here waits for the device. For .cu files alone.

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "c10/cuda/CUDAException.h"
#include "c10/cuda/CUDAGuard.h"
#include "c10/cuda/CUDAStream.h"
#include "c10/util/BFloat16.h"
#include <cuda_runtime.h>

namespace kvrecall {

inline constexpr int kWarpThreads = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// The device of a tensor is the current one while this lives.
using DeviceScope = c10::cuda::CUDAGuard;

__host__ __device__ constexpr int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Queues a kernel. Throws c10::Error where the launch itself is refused; what
// goes wrong inside the kernel shows at the next synchronisation.
template <typename... Params, typename... Args>
void Launch(void (*kernel)(Params...), dim3 grid, dim3 block,
            size_t shared_bytes, const Args&... args) {
  // More than 48 KiB must be asked for.
  if (shared_bytes > size_t{48} << 10)
    C10_CUDA_CHECK(
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes)));
  kernel<<<grid, block, shared_bytes, c10::cuda::getCurrentCUDAStream()>>>(
      args...);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// The block's dynamic shared memory, aligned to 16 bytes.
template <typename T>
__device__ __forceinline__ T* DynamicShared() {
  extern __shared__ uint4 dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

}  // namespace kvrecall
