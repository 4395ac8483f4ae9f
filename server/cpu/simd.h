#pragma once

// The vector type that a kernel file is compiled with, by its flags. Each of
// those files includes this once, inside an anonymous namespace after
// kernels.h: nothing here may be shared between instruction sets, or the
// linker could hand an old processor the code of a new one. For the same
// reason neither this nor kernels_impl.h uses the standard library.

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace kvrecall::cpu {
namespace {

#if defined(__AVX512F__)
#include "server/cpu/simd_avx512.h"
#elif defined(__AVX2__)
#include "server/cpu/simd_avx2.h"
#else
#include "server/cpu/simd_generic.h"
#endif

inline Vec LoadUnits(const float* p) { return Load(p); }
inline Vec LoadUnits(const uint32_t* p) { return LoadPairs(p); }

inline Vec LoadNumbers(const float* p) { return Load(p); }
inline Vec LoadNumbers(const Bfloat16* p) { return LoadBfloat16(p); }
inline void StoreNumbers(float* p, Vec a) { Store(p, a); }
inline void StoreNumbers(Bfloat16* p, Vec a) { StoreBfloat16(p, a); }

// 2^t: 0 where that is below 2⁻¹²⁶ and results are flushed. The polynomial is
// a least-maximum fit of 2^f on [−½, ½], relative error 2·10⁻⁸ in float32.
inline Vec Exp2(Vec t) {
  const Vec n = Round(t);
  const Vec f = t - n;
  Vec p = Broadcast(0.00015345812f);
  p = MulAdd(p, f, Broadcast(0.00133999309f));
  p = MulAdd(p, f, Broadcast(0.00961848907f));
  p = MulAdd(p, f, Broadcast(0.0555032864f));
  p = MulAdd(p, f, Broadcast(0.240226462f));
  p = MulAdd(p, f, Broadcast(0.693147182f));
  p = MulAdd(p, f, Broadcast(1.0f));
  return TimesPowerOfTwo(p, n);
}

// log₂ a for normal a > 0: the exponent plus a polynomial of the mantissa,
// whose largest relative error is 5·10⁻⁸.
inline Vec Log2(Vec a) {
  const Vec x = Mantissa(a) - Broadcast(1);
  Vec p = Broadcast(0.00755125051f);
  p = MulAdd(p, x, Broadcast(-0.042575866f));
  p = MulAdd(p, x, Broadcast(0.112871625f));
  p = MulAdd(p, x, Broadcast(-0.197133332f));
  p = MulAdd(p, x, Broadcast(0.275649011f));
  p = MulAdd(p, x, Broadcast(-0.358410776f));
  p = MulAdd(p, x, Broadcast(0.48069331f));
  p = MulAdd(p, x, Broadcast(-0.721340239f));
  p = MulAdd(p, x, Broadcast(1.44269502f));
  return MulAdd(p, x, Exponent(a));
}

}  // namespace
}  // namespace kvrecall::cpu
