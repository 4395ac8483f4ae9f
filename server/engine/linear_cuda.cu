// A warp has a few neighbouring rows of the matrix: each lane multiplies every
// 32nd part of eight numbers with the same part of all vectors, which lie in
// the nearest cache, and the warp adds up.

#include "server/engine/linear_cuda.h"

#include <algorithm>

#include "ATen/ops/empty.h"
#include "c10/util/Exception.h"

#include "server/cuda_device.cuh"
#include "server/cuda_launch.cuh"

namespace kvrecall {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpThreads;
constexpr int kMostVectors = 16;
// With fewer, warps with two rows each would leave multiprocessors idle while
// others end.
constexpr int kManyRows = 16384;

template <typename T>
struct ProductArgs {
  const T* x;  // [vectors, size], x_stride apart
  int64_t x_stride;
  const T* weight;  // [rows, size]
  float* out;       // [vectors, rows], or null: see Store
  // Of one vector, whose product is rounded.
  T* rounded;         // [rows]
  const T* bias;      // [rows] or null
  const T* residual;  // [rows] or null; may be `rounded` itself
  int vectors, rows, size;
};

// A product's sum to where it belongs.
template <typename T>
__device__ __forceinline__ void Store(const ProductArgs<T>& a, int vector,
                                      int row, float sum) {
  if (a.out != nullptr) {
    a.out[static_cast<int64_t>(vector) * a.rows + row] = sum;
    return;
  }
  if (a.bias != nullptr) sum += static_cast<float>(a.bias[row]);
  if (a.residual != nullptr)
    sum = static_cast<float>(a.residual[row]) + RoundTo<T>(sum);
  a.rounded[row] = static_cast<T>(sum);
}

// Grid: blocks of kWarps · kRows rows, where kRows share the reading of the
// vectors. kWidth numbers at a time: 8 where sizes and addresses are multiples
// of it, else 1.
template <typename T, int kVectors, int kRows, int kWidth>
__global__ void __launch_bounds__(kThreads)
    MultiplyRows(const ProductArgs<T> a) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int first = (static_cast<int>(blockIdx.x) * kWarps + warp) * kRows;
  if (first >= a.rows) return;
  const T* rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r)  // the last row again where there is none
    rows[r] =
        a.weight + static_cast<int64_t>(min(first + r, a.rows - 1)) * a.size;
  float sums[kRows][kVectors] = {};
#pragma unroll(4 / kRows)
  for (int i = lane * kWidth; i < a.size; i += kWarpThreads * kWidth) {
    float weights[kRows][kWidth];
#pragma unroll
    for (int r = 0; r < kRows; ++r) LoadFloats(rows[r] + i, weights[r]);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      if (v >= a.vectors) break;
      float x[kWidth];
      LoadFloats(a.x + v * a.x_stride + i, x);
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int j = 0; j < kWidth; ++j)
          sums[r][v] = fmaf(weights[r][j], x[j], sums[r][v]);
    }
  }
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (v >= a.vectors) break;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float sum = WarpSum(sums[r][v]);
      if (lane == 0 && first + r < a.rows) Store(a, v, first + r, sum);
    }
  }
}

template <typename T, int kVectors, int kRows, int kWidth>
void LaunchRows(const ProductArgs<T>& a) {
  Launch(MultiplyRows<T, kVectors, kRows, kWidth>,
         dim3(CeilDiv(a.rows, kWarps * kRows)), dim3(kThreads), 0, a);
}

template <typename T, int kWidth>
void Multiply(const ProductArgs<T>& a) {
  if (a.vectors > 8) return LaunchRows<T, kMostVectors, 2, kWidth>(a);
  if (a.vectors > 4) return LaunchRows<T, 8, 2, kWidth>(a);
  if (a.vectors > 1) return LaunchRows<T, 4, 2, kWidth>(a);
  if (a.rows >= kManyRows) return LaunchRows<T, 1, 2, kWidth>(a);
  LaunchRows<T, 1, 1, kWidth>(a);
}

template <typename T>
ProductArgs<T> ArgsOf(const at::Tensor& x, const at::Tensor& weight) {
  ProductArgs<T> a{};
  a.x = x.const_data_ptr<T>();
  a.x_stride = x.stride(0);
  a.weight = weight.const_data_ptr<T>();
  a.vectors = static_cast<int>(x.size(0));
  a.rows = static_cast<int>(weight.size(0));
  a.size = static_cast<int>(weight.size(1));
  return a;
}

// True where eight numbers at once can be read.
bool IsWide(const at::Tensor& x, const at::Tensor& weight) {
  const auto is_aligned = [](const at::Tensor& t) {
    return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
  };
  return x.size(1) % 8 == 0 && x.stride(0) % 8 == 0 && is_aligned(x) &&
         is_aligned(weight);
}

template <typename T>
void MultiplyAll(const at::Tensor& x, const at::Tensor& weight,
                 const at::Tensor& out) {
  const bool wide = IsWide(x, weight);
  for (int64_t first = 0; first < x.size(0); first += kMostVectors) {
    ProductArgs<T> a = ArgsOf<T>(x, weight);
    a.x += first * a.x_stride;
    a.out = out.mutable_data_ptr<float>() + first * out.size(1);
    a.vectors =
        static_cast<int>(std::min<int64_t>(kMostVectors, x.size(0) - first));
    (wide ? Multiply<T, 8> : Multiply<T, 1>)(a);
  }
}

template <typename T>
void MultiplyOne(const at::Tensor& x, const at::Tensor& weight,
                 const at::Tensor& bias, bool adds, const at::Tensor& result) {
  ProductArgs<T> a = ArgsOf<T>(x, weight);
  a.rounded = result.mutable_data_ptr<T>();
  if (bias.defined()) a.bias = bias.const_data_ptr<T>();
  if (adds) a.residual = a.rounded;
  (IsWide(x, weight) ? Multiply<T, 8> : Multiply<T, 1>)(a);
}

void CheckProduct(const at::Tensor& x, const at::Tensor& weight) {
  TORCH_CHECK(x.dim() == 2 && x.stride(1) == 1 && weight.is_contiguous() &&
              weight.size(1) == x.size(1) &&
              weight.scalar_type() == x.scalar_type());
  TORCH_CHECK(x.scalar_type() == at::kFloat ||
              x.scalar_type() == at::kBFloat16);
}

}  // namespace

at::Tensor MultiplyVectorsCuda(const at::Tensor& x, const at::Tensor& weight) {
  CheckProduct(x, weight);
  const DeviceScope scope(x.device());
  at::Tensor out =
      at::empty({x.size(0), weight.size(0)}, x.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
  if (x.scalar_type() == at::kBFloat16)
    MultiplyAll<c10::BFloat16>(x, weight, out);
  else
    MultiplyAll<float>(x, weight, out);
  return out;
}

void MultiplyVectorCuda(const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias, bool adds,
                        const at::Tensor& result) {
  CheckProduct(x, weight);
  TORCH_CHECK(x.size(0) == 1 && result.is_contiguous() &&
              result.numel() == weight.size(0) &&
              result.scalar_type() == x.scalar_type());
  TORCH_CHECK(!bias.defined() ||
              (bias.is_contiguous() && bias.numel() == weight.size(0) &&
               bias.scalar_type() == x.scalar_type()));
  if (result.numel() == 0) return;
  const DeviceScope scope(x.device());
  if (x.scalar_type() == at::kBFloat16)
    MultiplyOne<c10::BFloat16>(x, weight, bias, adds, result);
  else
    MultiplyOne<float>(x, weight, bias, adds, result);
}

}  // namespace kvrecall
