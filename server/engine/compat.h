#pragma once

// What differs between the versions of libtorch that the engine builds
// against (1.13 in Debian 12, 2.x elsewhere), and how its exceptions become
// statuses. Nothing else in the engine looks at a version.

#include <cstdint>
#include <string>
#include <utility>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/engine/attention.h"
#include "server/engine/model.h"

namespace kvrecall {

// "1.13.1", or whatever this build links.
std::string LibtorchVersion();

// True if this libtorch can use a GPU that is there.
bool CudaAvailable();

// Name of the device as people know it: "cpu", or the GPU's.
std::string DeviceName(at::Device device);

// Makes libtorch's products on a GPU as exact as their dtype allows, whatever
// the environment asks for: no TF32, and sums of bfloat16 products in float32
// throughout. For the whole process; nothing on the CPU.
void ForbidReducedPrecision();

// What computes on a GPU: "NVIDIA H100 80GB HBM3 (9.0), CUDA 13.0, driver 13.0,
// cuBLAS 13.1.0". Results differ in their last digits from one to another.
std::string DeviceKernelsVersion(at::Device device);

// Bytes that a GPU has free, those that libtorch keeps for reuse included.
int64_t FreeDeviceMemory(at::Device device);

// What libtorch holds of a GPU's memory; 0 on the CPU, and where the device
// does not answer any more. Thread-safe.
DeviceMemory MemoryOf(at::Device device);

// Waits until the device has done what was queued; nothing on the CPU.
void SynchronizeDevice(at::Device device);

#ifdef KVRECALL_WITH_CUDA
// Causal attention of the bfloat16 queries [Tq, query_heads, head_dim], the
// last Tq of N positions, over keys and values [kv_heads, N, head_dim] on
// CUDA, by libtorch's FlashAttention; Tq > 1. Keys are not repeated for their
// group. head_dim is a multiple of 8, at most 256.
AttentionResult FlashAttention(const at::Tensor& queries,
                               const at::Tensor& keys,
                               const at::Tensor& values);
#endif

// Turns the exception being handled into a status: ResourceExhausted where
// memory ran out, Internal otherwise, each with libtorch's first line. Call
// only from a catch block.
absl::Status StatusFromTorchException();

// Runs `body`, which returns a Status or StatusOr, and turns what libtorch
// throws into a status.
template <typename Body>
auto CatchTorch(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (...) {
    return StatusFromTorchException();
  }
}

}  // namespace kvrecall
