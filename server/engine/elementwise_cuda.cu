#include "server/engine/elementwise_cuda.h"

#include <algorithm>

#include "ATen/ops/empty.h"
#include "c10/util/Exception.h"

#include "server/cuda_device.cuh"
#include "server/cuda_launch.cuh"

namespace kvrecall {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpThreads;

// Each kernel handles kWidth neighbouring elements a thread: 8 where sizes and
// addresses are multiples of it, else 1. Products are rounded one by one, so
// that the compiler fuses nothing that libtorch does apart.

template <typename T>
struct RmsNormArgs {
  const T* x;
  int64_t token_stride, head_stride;
  const T* weight;  // [size]
  T* y;             // [T, heads, size]
  int heads, size;
  float eps;
};

// Grid: tokens × heads.
template <typename T, int kWidth>
__global__ void RmsNormRow(const RmsNormArgs<T> a) {
  __shared__ float scratch[kWarps];
  const int token = static_cast<int>(blockIdx.x) / a.heads;
  const int head = static_cast<int>(blockIdx.x) % a.heads;
  const T* row = a.x + token * a.token_stride + head * a.head_stride;
  T* out = a.y + static_cast<int64_t>(blockIdx.x) * a.size;
  const int first = static_cast<int>(threadIdx.x) * kWidth;
  const int step = static_cast<int>(blockDim.x) * kWidth;
  float values[kWidth], weights[kWidth];
  float sum = 0;
  for (int i = first; i < a.size; i += step) {
    LoadFloats(row + i, values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum = fmaf(values[j], values[j], sum);
  }
  sum = BlockSum(sum, scratch);
  const float factor = rsqrtf(sum / static_cast<float>(a.size) + a.eps);
  for (int i = first; i < a.size; i += step) {
    LoadFloats(row + i, values);
    LoadFloats(a.weight + i, weights);
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
      values[j] =
          __fmul_rn(weights[j], RoundTo<T>(__fmul_rn(values[j], factor)));
    StoreFloats(values, out + i);
  }
}

// Grid: rows, blocks of columns.
template <typename T, int kWidth>
__global__ void SiluMulRow(const T* gate_up, int64_t stride, int ffn, T* y) {
  const int i =
      static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * kWidth;
  if (i >= ffn) return;
  const T* row = gate_up + blockIdx.x * stride + i;
  float gate[kWidth], up[kWidth];
  LoadFloats(row, gate);
  LoadFloats(row + ffn, up);
#pragma unroll
  for (int j = 0; j < kWidth; ++j)
    gate[j] = __fmul_rn(RoundTo<T>(gate[j] / (1.0f + expf(-gate[j]))), up[j]);
  StoreFloats(gate, y + static_cast<int64_t>(blockIdx.x) * ffn + i);
}

template <typename T>
struct RotateArgs {
  T* x;  // [T, heads, 2 · half]
  int64_t token_stride, head_stride;
  const float* cos;  // [T, half]
  const float* sin;  // [T, half]
  int heads, half;
};

// Grid: tokens. Each thread turns pairs (i, i + half) of a head.
template <typename T, int kWidth>
__global__ void RotateToken(const RotateArgs<T> a) {
  const int64_t token = blockIdx.x;
  const int64_t table = token * a.half;
  const int parts = a.half / kWidth;
  float first[kWidth], second[kWidth], c[kWidth], s[kWidth];
  for (int p = threadIdx.x; p < a.heads * parts; p += blockDim.x) {
    const int head = p / parts, i = p % parts * kWidth;
    T* pair = a.x + token * a.token_stride + head * a.head_stride + i;
    LoadFloats(pair, first);
    LoadFloats(pair + a.half, second);
    LoadFloats(a.cos + table + i, c);
    LoadFloats(a.sin + table + i, s);
    float turned[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
      turned[j] =
          __fsub_rn(__fmul_rn(first[j], c[j]), __fmul_rn(second[j], s[j]));
    StoreFloats(turned, pair);
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
      turned[j] =
          __fadd_rn(__fmul_rn(second[j], c[j]), __fmul_rn(first[j], s[j]));
    StoreFloats(turned, pair + a.half);
  }
}

// Whole warps, no more than the work has.
dim3 ThreadsFor(int64_t work) {
  return dim3(std::clamp<int64_t>(CeilDiv(work, kWarpThreads) * kWarpThreads,
                                  kWarpThreads, kThreads));
}

// True if eight elements at once can be read or written wherever a multiple of
// the strides leads from t's first element.
bool IsWide(const at::Tensor& t) {
  for (int64_t d = 0; d + 1 < t.dim(); ++d)
    if (t.stride(d) % 8 != 0) return false;
  return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
}

template <typename T, int kWidth>
void RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps,
             const at::Tensor& y) {
  const bool by_head = x.dim() == 3;
  const RmsNormArgs<T> args{
      x.const_data_ptr<T>(),        x.stride(0),
      by_head ? x.stride(1) : 0,    weight.const_data_ptr<T>(),
      y.mutable_data_ptr<T>(),      static_cast<int>(by_head ? x.size(1) : 1),
      static_cast<int>(x.size(-1)), static_cast<float>(eps)};
  Launch(RmsNormRow<T, kWidth>, dim3(x.size(0) * args.heads),
         ThreadsFor(args.size / kWidth), 0, args);
}

template <typename T, int kWidth>
void SiluMul(const at::Tensor& gate_up, const at::Tensor& y) {
  Launch(SiluMulRow<T, kWidth>,
         dim3(y.size(0), CeilDiv(y.size(1), kThreads * kWidth)), dim3(kThreads),
         0, gate_up.const_data_ptr<T>(), gate_up.stride(0),
         static_cast<int>(y.size(1)), y.mutable_data_ptr<T>());
}

template <typename T, int kWidth>
void Rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const RotateArgs<T> args{x.mutable_data_ptr<T>(),
                           x.stride(0),
                           x.stride(1),
                           cos.const_data_ptr<float>(),
                           sin.const_data_ptr<float>(),
                           static_cast<int>(x.size(1)),
                           static_cast<int>(x.size(2) / 2)};
  Launch(RotateToken<T, kWidth>, dim3(x.size(0)),
         ThreadsFor(x.size(1) * x.size(2) / 2 / kWidth), 0, args);
}

bool IsBFloat16(const at::Tensor& x) {
  const at::ScalarType dtype = x.scalar_type();
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16);
  return dtype == at::kBFloat16;
}

}  // namespace

at::Tensor RmsNormCuda(const at::Tensor& x, const at::Tensor& weight,
                       double eps) {
  TORCH_CHECK((x.dim() == 2 || x.dim() == 3) && x.stride(-1) == 1 &&
              weight.is_contiguous() && weight.numel() == x.size(-1) &&
              weight.scalar_type() == x.scalar_type());
  const DeviceScope scope(x.device());
  at::Tensor y = at::empty(x.sizes(), x.options());
  if (y.numel() == 0) return y;
  const bool wide = x.size(-1) % 8 == 0 && IsWide(x) && IsWide(weight);
  if (IsBFloat16(x))
    (wide ? RmsNorm<c10::BFloat16, 8> : RmsNorm<c10::BFloat16, 1>)(x, weight,
                                                                   eps, y);
  else
    (wide ? RmsNorm<float, 8> : RmsNorm<float, 1>)(x, weight, eps, y);
  return y;
}

at::Tensor SiluMulCuda(const at::Tensor& gate_up) {
  TORCH_CHECK(gate_up.dim() == 2 && gate_up.stride(1) == 1 &&
              gate_up.size(1) % 2 == 0);
  const DeviceScope scope(gate_up.device());
  at::Tensor y =
      at::empty({gate_up.size(0), gate_up.size(1) / 2}, gate_up.options());
  if (y.numel() == 0) return y;
  const bool wide = y.size(1) % 8 == 0 && IsWide(gate_up);
  if (IsBFloat16(gate_up))
    (wide ? SiluMul<c10::BFloat16, 8> : SiluMul<c10::BFloat16, 1>)(gate_up, y);
  else
    (wide ? SiluMul<float, 8> : SiluMul<float, 1>)(gate_up, y);
  return y;
}

void RotateInPlaceCuda(at::Tensor x, const at::Tensor& cos,
                       const at::Tensor& sin) {
  TORCH_CHECK(x.dim() == 3 && x.stride(2) == 1 && x.size(2) % 2 == 0 &&
              cos.is_contiguous() && sin.is_contiguous() &&
              cos.size(0) == x.size(0) && cos.size(1) == x.size(2) / 2 &&
              sin.sizes() == cos.sizes());
  if (x.numel() == 0) return;
  const DeviceScope scope(x.device());
  const bool wide =
      x.size(2) % 16 == 0 && IsWide(x) && IsWide(cos) && IsWide(sin);
  if (IsBFloat16(x))
    (wide ? Rotate<c10::BFloat16, 8> : Rotate<c10::BFloat16, 1>)(x, cos, sin);
  else
    (wide ? Rotate<float, 8> : Rotate<float, 1>)(x, cos, sin);
}

}  // namespace kvrecall
