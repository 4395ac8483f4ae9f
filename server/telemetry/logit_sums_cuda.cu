// A block of threads has a part of a row: its largest logits, then its sums
// beside the part's largest. A warp merges a row's parts in their order.

#include "server/telemetry/logit_sums_cuda.h"

#include <cfloat>
#include <climits>
#include <cmath>

#include "ATen/ops/empty.h"
#include "c10/util/Exception.h"

#include "server/cuda_device.cuh"
#include "server/cuda_launch.cuh"

namespace kvrecall {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpThreads;
constexpr int kPart = 4096;  // logits

// The largest with its lowest id, and the second largest.
struct Top {
  float largest = -INFINITY, second = -INFINITY;
  int best = INT_MAX;

  __device__ __forceinline__ void Take(const Top& other) {
    const bool better = other.largest > largest ||
                        (other.largest == largest && other.best < best);
    second =
        better ? fmaxf(largest, other.second) : fmaxf(other.largest, second);
    if (better) {
      largest = other.largest;
      best = other.best;
    }
  }
};

__device__ __forceinline__ Top WarpTop(Top top) {
#pragma unroll
  for (int offset = kWarpThreads / 2; offset > 0; offset /= 2) {
    Top other;
    other.largest = __shfl_xor_sync(kAllLanes, top.largest, offset);
    other.second = __shfl_xor_sync(kAllLanes, top.second, offset);
    other.best = __shfl_xor_sync(kAllLanes, top.best, offset);
    top.Take(other);
  }
  return top;
}

// Of a part, relative to its largest.
struct Part {
  double sum, weighted;
  Top top;
  int finite;
};

// Grid: parts, rows.
__global__ void __launch_bounds__(kThreads)
    SumParts(const float* logits, int64_t stride, int vocabulary, Part* parts) {
  __shared__ float largest[kWarps], second[kWarps];
  __shared__ int best[kWarps], finite[kWarps];
  __shared__ double sums[kWarps], weighted_sums[kWarps];
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const bool first_lane = threadIdx.x % kWarpThreads == 0;
  const float* row = logits + blockIdx.y * stride;
  const int begin = static_cast<int>(blockIdx.x) * kPart;
  const int end = min(begin + kPart, vocabulary);

  Top top;
  int bad = 0;
  for (int i = begin + static_cast<int>(threadIdx.x); i < end; i += kThreads) {
    Top one;
    one.largest = row[i];
    one.best = i;
    top.Take(one);
    bad += !(fabsf(row[i]) <= FLT_MAX);
  }
  top = WarpTop(top);
  bad = WarpSum(bad);
  if (first_lane) {
    largest[warp] = top.largest;
    second[warp] = top.second;
    best[warp] = top.best;
    finite[warp] = bad == 0;
  }
  __syncthreads();
  bool all_finite = true;
  top = Top{};
  for (int w = 0; w < kWarps; ++w) {
    Top other;
    other.largest = largest[w];
    other.second = second[w];
    other.best = best[w];
    top.Take(other);
    all_finite = all_finite && finite[w] != 0;
  }

  double sum = 0, weighted = 0;
  for (int i = begin + static_cast<int>(threadIdx.x); i < end; i += kThreads) {
    const double offset = static_cast<double>(row[i]) - top.largest;
    const double e = exp(offset);
    sum += e;
    weighted += e * offset;
  }
  sum = BlockSum(sum, sums);
  weighted = BlockSum(weighted, weighted_sums);
  if (threadIdx.x == 0)
    parts[static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = {
        sum, weighted, top, all_finite};
}

// Grid: rows. A warp; figures [rows, 6].
__global__ void MergeParts(const Part* parts, int count, double* figures) {
  const Part* of_row = parts + static_cast<int64_t>(blockIdx.x) * count;
  Top top;
  int bad = 0;
  for (int p = static_cast<int>(threadIdx.x); p < count; p += kWarpThreads) {
    top.Take(of_row[p].top);
    bad += of_row[p].finite == 0;
  }
  top = WarpTop(top);
  bad = WarpSum(bad);
  double sum = 0, weighted = 0;
  for (int p = static_cast<int>(threadIdx.x); p < count; p += kWarpThreads) {
    const double offset =
        static_cast<double>(of_row[p].top.largest) - top.largest;
    const double scale = exp(offset);
    sum += scale * of_row[p].sum;
    weighted += scale * (of_row[p].weighted + offset * of_row[p].sum);
  }
  sum = WarpSum(sum);
  weighted = WarpSum(weighted);
  if (threadIdx.x != 0) return;
  double* out = figures + static_cast<int64_t>(blockIdx.x) * 6;
  out[0] = sum;
  out[1] = weighted;
  out[2] = top.largest;
  out[3] = top.second;
  out[4] = bad == 0 ? 1 : 0;
  out[5] = top.best;
}

}  // namespace

at::Tensor LogitSumsCuda(const at::Tensor& logits) {
  TORCH_CHECK(logits.dim() == 2 && logits.scalar_type() == at::kFloat &&
              logits.stride(1) == 1 && logits.size(1) > 0);
  const DeviceScope scope(logits.device());
  const int64_t rows = logits.size(0);
  const int64_t count = CeilDiv(logits.size(1), kPart);
  const at::TensorOptions wide = logits.options().dtype(at::kDouble);
  at::Tensor figures = at::empty({rows, 6}, wide);
  if (rows == 0) return figures;
  static_assert(sizeof(Part) % sizeof(double) == 0);
  const at::Tensor workspace =
      at::empty({rows * count * int64_t{sizeof(Part) / sizeof(double)}}, wide);
  Part* parts = reinterpret_cast<Part*>(workspace.mutable_data_ptr<double>());
  Launch(SumParts, dim3(count, rows), dim3(kThreads), 0,
         logits.const_data_ptr<float>(), logits.stride(0),
         static_cast<int>(logits.size(1)), parts);
  Launch(MergeParts, dim3(rows), dim3(kWarpThreads), 0,
         static_cast<const Part*>(parts), static_cast<int>(count),
         figures.mutable_data_ptr<double>());
  return figures;
}

}  // namespace kvrecall
