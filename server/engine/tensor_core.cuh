#pragma once

// The instructions that CUDA C++ has no name for: tensor cores, asynchronous
// copies to shared memory, and a power of two that flushes to zero. Compute
// capability 8.0 or newer. Layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16
// with floating point type" and "ldmatrix".

#include <cstdint>

#include <cuda_runtime.h>

namespace kvrecall {

__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Copies 16 bytes to shared memory, or writes zeros where `inside` is false;
// nothing is read then, but `from` must still be a pointer. Both are 16-byte
// aligned.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* from,
                                            bool inside) {
  const int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(
                   SharedAddress(shared)),
               "l"(from), "r"(bytes)
               : "memory");
}

// The same for 4 bytes.
__device__ __forceinline__ void CopyAsync4(void* shared, const void* from,
                                           bool inside) {
  const int bytes = inside ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(
                   SharedAddress(shared)),
               "l"(from), "r"(bytes)
               : "memory");
}

// Closes the group of this thread's copies since the last commit.
__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Waits until at most kPending of this thread's groups are under way.
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

// Four 8 × 8 matrices of 16-bit elements. Lane l gives the address of row
// l % 8 of matrix l / 8 (16 bytes, aligned); of each matrix it gets the pair of
// elements 2·(l % 4) and the next of row l / 4.
__device__ __forceinline__ void LoadMatrices(const void* shared_row,
                                             uint32_t (&matrices)[4]) {
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
      : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]),
        "=r"(matrices[3])
      : "r"(SharedAddress(shared_row))
      : "memory");
}

// c += a · b over bfloat16 in float32: a [16, 16], b [16, 8], c [16, 8].
// With r = lane / 4 and t = lane % 4 a lane holds
//   a: the pairs (r, 2t), (r + 8, 2t), (r, 2t + 8), (r + 8, 2t + 8)
//   b: the pairs down its column r, from rows 2t and 2t + 8
//   c: (r, 2t), (r, 2t + 1), (r + 8, 2t), (r + 8, 2t + 1)
__device__ __forceinline__ void MultiplyAdd(float (&c)[4],
                                            const uint32_t (&a)[4], uint32_t b0,
                                            uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 2^x in one instruction, to 2 ulp; results below 2⁻¹²⁶ are 0.
__device__ __forceinline__ float Exp2Flush(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace kvrecall
