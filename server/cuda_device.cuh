#pragma once

// Device functions that the CUDA kernels share. Device code only.

#include <cstdint>

#include "server/cuda_launch.cuh"

namespace kvrecall {

// Eight consecutive elements as they lie in memory; 16-byte aligned.
template <typename T>
struct Raw8;

template <>
struct Raw8<c10::BFloat16> {
  uint4 words;
};

template <>
struct Raw8<float> {
  float4 low, high;
};

__device__ __forceinline__ void LoadRaw8(const c10::BFloat16* from,
                                         Raw8<c10::BFloat16>& to) {
  to.words = __ldg(reinterpret_cast<const uint4*>(from));
}

__device__ __forceinline__ void LoadRaw8(const float* from, Raw8<float>& to) {
  to.low = __ldg(reinterpret_cast<const float4*>(from));
  to.high = __ldg(reinterpret_cast<const float4*>(from) + 1);
}

__device__ __forceinline__ void ClearRaw8(Raw8<c10::BFloat16>& raw) {
  raw.words = make_uint4(0, 0, 0, 0);
}

__device__ __forceinline__ void ClearRaw8(Raw8<float>& raw) {
  raw.low = raw.high = make_float4(0, 0, 0, 0);
}

// A bfloat16 is the upper half of the float32 of the same value.
__device__ __forceinline__ void UnpackPair(uint32_t pair, float* to) {
  to[0] = __uint_as_float(pair << 16);
  to[1] = __uint_as_float(pair & 0xffff0000u);
}

__device__ __forceinline__ void Unpack8(const Raw8<c10::BFloat16>& raw,
                                        float (&to)[8]) {
  UnpackPair(raw.words.x, to);
  UnpackPair(raw.words.y, to + 2);
  UnpackPair(raw.words.z, to + 4);
  UnpackPair(raw.words.w, to + 6);
}

__device__ __forceinline__ void Unpack8(const Raw8<float>& raw,
                                        float (&to)[8]) {
  to[0] = raw.low.x;
  to[1] = raw.low.y;
  to[2] = raw.low.z;
  to[3] = raw.low.w;
  to[4] = raw.high.x;
  to[5] = raw.high.y;
  to[6] = raw.high.z;
  to[7] = raw.high.w;
}

__device__ __forceinline__ uint32_t PackPair(float low, float high) {
  return static_cast<uint32_t>(c10::BFloat16(low).x) |
         static_cast<uint32_t>(c10::BFloat16(high).x) << 16;
}

// Eight elements, 16-byte aligned, or one, as floats and back; storing rounds
// to nearest, ties to even. Unlike LoadRaw8, these may read what the kernel
// writes.
__device__ __forceinline__ void LoadFloats(const c10::BFloat16* from,
                                           float (&to)[8]) {
  Raw8<c10::BFloat16> raw;
  raw.words = *reinterpret_cast<const uint4*>(from);
  Unpack8(raw, to);
}

__device__ __forceinline__ void LoadFloats(const float* from, float (&to)[8]) {
  Raw8<float> raw;
  raw.low = reinterpret_cast<const float4*>(from)[0];
  raw.high = reinterpret_cast<const float4*>(from)[1];
  Unpack8(raw, to);
}

template <typename T>
__device__ __forceinline__ void LoadFloats(const T* from, float (&to)[1]) {
  to[0] = static_cast<float>(*from);
}

__device__ __forceinline__ void StoreFloats(const float (&from)[8],
                                            c10::BFloat16* to) {
  *reinterpret_cast<uint4*>(to) =
      make_uint4(PackPair(from[0], from[1]), PackPair(from[2], from[3]),
                 PackPair(from[4], from[5]), PackPair(from[6], from[7]));
}

__device__ __forceinline__ void StoreFloats(const float (&from)[8], float* to) {
  reinterpret_cast<float4*>(to)[0] =
      make_float4(from[0], from[1], from[2], from[3]);
  reinterpret_cast<float4*>(to)[1] =
      make_float4(from[4], from[5], from[6], from[7]);
}

template <typename T>
__device__ __forceinline__ void StoreFloats(const float (&from)[1], T* to) {
  *to = static_cast<T>(from[0]);
}

// The nearest value that T holds.
template <typename T>
__device__ __forceinline__ float RoundTo(float value) {
  return static_cast<float>(static_cast<T>(value));
}

__device__ __forceinline__ float WarpMax(float value) {
#pragma unroll
  for (int offset = kWarpThreads / 2; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// The same tree for the same lanes: the same bits at every run.
template <typename T>
__device__ __forceinline__ T WarpSum(T value) {
#pragma unroll
  for (int offset = kWarpThreads / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

// The sum over the block, for every thread; in a fixed order. Every thread of
// the block must call it, and `scratch` [≥ warps], in shared memory, is free
// again when all have returned and met at a barrier.
template <typename T>
__device__ __forceinline__ T BlockSum(T value, T* scratch) {
  value = WarpSum(value);
  const int thread = threadIdx.x + threadIdx.y * blockDim.x;
  const int warps = blockDim.x * blockDim.y / kWarpThreads;
  if (thread % kWarpThreads == 0) scratch[thread / kWarpThreads] = value;
  __syncthreads();
  T sum = scratch[0];
  for (int w = 1; w < warps; ++w) sum += scratch[w];
  return sum;
}

__device__ __forceinline__ float BlockMax(float value, float* scratch) {
  value = WarpMax(value);
  const int thread = threadIdx.x + threadIdx.y * blockDim.x;
  const int warps = blockDim.x * blockDim.y / kWarpThreads;
  if (thread % kWarpThreads == 0) scratch[thread / kWarpThreads] = value;
  __syncthreads();
  float most = scratch[0];
  for (int w = 1; w < warps; ++w) most = fmaxf(most, scratch[w]);
  return most;
}

}  // namespace kvrecall
