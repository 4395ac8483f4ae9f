#pragma once

// Products with weight matrices. On the CPU oneDNN multiplies many rows at
// once (two to four times as fast in float32 as libtorch's BLAS; bfloat16 is
// widened first on processors without AVX-512), and a kernel of the project's
// own reads a matrix for a few rows (kMostLoneRows) at the memory's speed, each
// of which comes out bit for bit as it would alone. On CUDA a kernel of the
// project's own reads a matrix for one row. Elsewhere, and where oneDNN is
// absent, libtorch does it.
//
// Stateless but for oneDNN's own cache; runs on the calling thread and
// libtorch's pool.

#include <cstdint>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"

namespace kvrecall {

// On the CPU each of up to this many rows comes out as it would alone.
constexpr int64_t kMostLoneRows = 16;

// x [T, in] · weight [out, in]ᵀ + bias [out] (undefined: none) → [T, out], in
// x's dtype. Sums are in float32.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const at::Tensor& bias);

// Adds that product, rounded to x's dtype, to `sum` [T, out], packed and of x's
// dtype.
void AddLinear(at::Tensor sum, const at::Tensor& x, const at::Tensor& weight,
               const at::Tensor& bias);

// The kernels and libraries that compute on the CPU here: "avx512_bf16, oneDNN
// 2.6.3". Results differ in their last digits from one to another.
std::string CpuKernelsVersion();

// InvalidArgument where KVRECALL_CPU_KERNELS asks for kernels that there are
// not, or that this processor does not run: it names those that it does.
absl::Status CheckCpuKernels();

// As above without bias, in float32: logits, for up to a few dozen rows. On the
// CPU and on CUDA they are never rounded to x's dtype; on other devices
// libtorch rounds a bfloat16 product.
at::Tensor LinearToFloat(const at::Tensor& x, const at::Tensor& weight);

}  // namespace kvrecall
