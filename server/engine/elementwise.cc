#include "server/engine/elementwise.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/kernels.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/engine/elementwise_cuda.h"
#endif

namespace kvrecall {
namespace {

using cpu::Bfloat16;

// Rows that one thread takes at least, so that it has work worth waking for.
int64_t Grain(int64_t row_size) {
  constexpr int64_t kLeastNumbers = 1 << 14;
  return std::max<int64_t>(kLeastNumbers / std::max<int64_t>(row_size, 1), 1);
}

template <typename T>
const T* Data(const at::Tensor& t) {
  return static_cast<const T*>(t.data_ptr());
}
template <typename T>
T* MutableData(const at::Tensor& t) {
  return static_cast<T*>(t.data_ptr());
}

at::Tensor RmsNormWithAten(const at::Tensor& x, const at::Tensor& weight,
                           double eps) {
  const at::Tensor f = x.to(at::kFloat);
  const at::Tensor variance = f.square().mean(-1, /*keepdim=*/true);
  return weight * (f * at::rsqrt(variance + eps)).to(x.scalar_type());
}

template <typename T, typename Kernel>
void RmsNormRows(const at::Tensor& x, const at::Tensor& weight, double eps,
                 Kernel kernel, const at::Tensor& out) {
  const int64_t size = x.size(-1);
  const int64_t heads = x.dim() == 3 ? x.size(1) : 1;
  const int64_t head_stride = x.dim() == 3 ? x.stride(1) : 0;
  at::parallel_for(
      0, x.size(0) * heads, Grain(size), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          kernel(Data<T>(x) + i / heads * x.stride(0) + i % heads * head_stride,
                 Data<T>(weight), static_cast<float>(eps), size,
                 MutableData<T>(out) + i * size);
      });
}

template <typename T, typename Kernel>
void SiluMulRows(const at::Tensor& gate_up, Kernel kernel,
                 const at::Tensor& out) {
  const int64_t size = out.size(1);
  at::parallel_for(
      0, out.size(0), Grain(size), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T* gate = Data<T>(gate_up) + i * 2 * size;
          kernel(gate, gate + size, size, MutableData<T>(out) + i * size);
        }
      });
}

template <typename T, typename Kernel>
void RotateRows(const at::Tensor& x, const at::Tensor& cos,
                const at::Tensor& sin, Kernel kernel) {
  const int64_t heads = x.size(1);
  const int64_t half = x.size(2) / 2;
  at::parallel_for(0, x.size(0), Grain(x.size(1) * x.size(2)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i)
                       for (int64_t h = 0; h < heads; ++h) {
                         T* row = MutableData<T>(x) + i * x.stride(0) +
                                  h * x.stride(1);
                         kernel(row, Data<float>(cos) + i * half,
                                Data<float>(sin) + i * half, half, row);
                       }
                   });
}

}  // namespace

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
#ifdef KVRECALL_WITH_CUDA
  if (x.device().is_cuda()) return RmsNormCuda(x, weight, eps);
#endif
  if (!x.device().is_cpu()) return RmsNormWithAten(x, weight, eps);
  const cpu::Kernels& kernels = cpu::BestKernels();
  at::Tensor out = at::empty(x.sizes(), x.options());
  if (x.scalar_type() == at::kBFloat16)
    RmsNormRows<Bfloat16>(x, weight, eps, kernels.rms_norm_bfloat16, out);
  else
    RmsNormRows<float>(x, weight, eps, kernels.rms_norm_float, out);
  return out;
}

at::Tensor SiluMul(const at::Tensor& gate_up) {
  const int64_t size = gate_up.size(1) / 2;
#ifdef KVRECALL_WITH_CUDA
  if (gate_up.device().is_cuda()) return SiluMulCuda(gate_up);
#endif
  if (!gate_up.device().is_cpu())
    return at::silu(gate_up.narrow(1, 0, size)) * gate_up.narrow(1, size, size);
  const cpu::Kernels& kernels = cpu::BestKernels();
  const at::Tensor in = gate_up.contiguous();
  at::Tensor out = at::empty({in.size(0), size}, in.options());
  if (in.scalar_type() == at::kBFloat16)
    SiluMulRows<Bfloat16>(in, kernels.silu_mul_bfloat16, out);
  else
    SiluMulRows<float>(in, kernels.silu_mul_float, out);
  return out;
}

void RotateInPlace(at::Tensor x, const at::Tensor& cos, const at::Tensor& sin) {
#ifdef KVRECALL_WITH_CUDA
  if (x.device().is_cuda()) {
    RotateInPlaceCuda(x, cos, sin);
    return;
  }
#endif
  if (!x.device().is_cpu()) {
    const int64_t half = x.size(2) / 2;
    const at::Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1);
    const at::Tensor a = x.narrow(2, 0, half).to(at::kFloat);
    const at::Tensor b = x.narrow(2, half, half).to(at::kFloat);
    x.copy_(at::cat({a * c - b * s, b * c + a * s}, 2));
    return;
  }
  const cpu::Kernels& kernels = cpu::BestKernels();
  if (x.scalar_type() == at::kBFloat16)
    RotateRows<Bfloat16>(x, cos, sin, kernels.rotate_bfloat16);
  else
    RotateRows<float>(x, cos, sin, kernels.rotate_float);
}

}  // namespace kvrecall
