#pragma once

// What the kernels over single queries share: the products of a few queries
// with a split of the keys. Device code, and what its launches need; for .cu
// files alone.

#include <cfloat>

#include "ATen/core/Tensor.h"
#include "c10/util/Exception.h"

#include "server/cuda_device.cuh"
#include "server/cuda_launch.cuh"
#include "server/engine/attention_cuda_kernels.h"

namespace kvrecall {

inline constexpr float kLog2E = 1.44269504088896340736f;
inline constexpr float kLn2 = 0.69314718055994530942f;
inline constexpr int kSplitThreads = 256;
inline constexpr int kSplitWarps = kSplitThreads / kWarpThreads;
inline constexpr int kSplitKeys = 128;
inline constexpr int kMostHeads = 8;      // of a group
inline constexpr int kMostHeadDim = 128;  // sixteen lanes of eight elements

// A weight, or 0 where it is below the smallest normal float.
__device__ __forceinline__ float Weight(float log2_weight) {
  const float weight = exp2f(log2_weight);
  return weight >= FLT_MIN ? weight : 0.0f;
}

// One position's eight elements lie in each of kLanes neighbouring lanes.
// Reduces kHeads partial sums over them; lane p of the kLanes gets the total
// of head p / (kLanes / kHeads). At each step the lanes exchange one half of
// what they have, which takes kHeads − 1 shuffles instead of kHeads a step.
template <int kLanes, int kHeads>
__device__ __forceinline__ float SumOverLanes(float (&parts)[kHeads]) {
  const int lane = threadIdx.x % kLanes;
  int offset = kLanes / 2;
#pragma unroll
  for (int half = kHeads / 2; half > 0; half /= 2, offset /= 2) {
    const bool upper = (lane & offset) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float sent = upper ? parts[i] : parts[i + half];
      const float kept = upper ? parts[i + half] : parts[i];
      parts[i] = kept + __shfl_xor_sync(kAllLanes, sent, offset);
    }
  }
  float sum = parts[0];
#pragma unroll
  for (; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  return sum;
}

// Products of one split's keys with the group's heads, times `factor`, to
// shared memory; where there is no such key or head they are 0. `query`
// [per_group, head_dim], of T or float32, and `keys` [n, head_dim] are aligned
// to 16 bytes. Ends with a barrier.
template <typename T, int kLanes, int kHeads, typename Query>
__device__ __forceinline__ void ScoreSplit(
    const Query* query, const T* keys, int first_key, int n, int head_dim,
    int per_group, float factor, float (&scores)[kHeads][kSplitKeys]) {
  constexpr int kSlots = kSplitThreads / kLanes;  // keys at a time
  constexpr int kPasses = kSplitKeys / kSlots;
  constexpr int kLanesPerHead = kLanes / kHeads;
  const int part = threadIdx.x % kLanes, slot = threadIdx.x / kLanes;
  const bool inside = part * 8 < head_dim;

  Raw8<T> k[kPasses];
#pragma unroll
  for (int p = 0; p < kPasses; ++p) {
    const int key = first_key + p * kSlots + slot;
    if (inside && key < n)
      LoadRaw8(keys + static_cast<int64_t>(key) * head_dim + part * 8, k[p]);
    else
      ClearRaw8(k[p]);
  }
  float q[kHeads][8];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    Raw8<Query> raw;
    if (inside && h < per_group)
      LoadRaw8(query + h * head_dim + part * 8, raw);
    else
      ClearRaw8(raw);
    Unpack8(raw, q[h]);
  }
#pragma unroll
  for (int p = 0; p < kPasses; ++p) {
    float elements[8];
    Unpack8(k[p], elements);
    float dots[kHeads];
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      dots[h] = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) dots[h] = fmaf(q[h][i], elements[i], dots[h]);
    }
    const float sum = SumOverLanes<kLanes>(dots);
    if (part % kLanesPerHead == 0)
      scores[part / kLanesPerHead][p * kSlots + slot] = sum * factor;
  }
  __syncthreads();
}

// Calls `launch` with the lanes a position and the heads a group, as template
// arguments, that fit.
template <typename LaunchFn>
void ChooseShape(int64_t head_dim, int64_t per_group, LaunchFn launch) {
  const auto with_lanes = [&]<int kHeads>() {
    if (head_dim <= 64)
      launch.template operator()<8, kHeads>();
    else
      launch.template operator()<16, kHeads>();
  };
  if (per_group == 1) return with_lanes.template operator()<1>();
  if (per_group == 2) return with_lanes.template operator()<2>();
  if (per_group <= 4) return with_lanes.template operator()<4>();
  with_lanes.template operator()<8>();
}

// As the kernels take queries [T, query_heads, head_dim] and keys [kv_heads, N,
// head_dim].
inline void CheckShapes(const at::Tensor& queries, const at::Tensor& keys) {
  TORCH_CHECK(CudaKernelsTake(queries.size(2), queries.size(1) / keys.size(0)));
  TORCH_CHECK(queries.is_contiguous() && keys.stride(1) == keys.size(2) &&
              keys.stride(2) == 1);
}

}  // namespace kvrecall
