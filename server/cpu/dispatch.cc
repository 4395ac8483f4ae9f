#include <cstdlib>
#include <cstring>

#include "server/cpu/tables.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace kvrecall::cpu {

std::vector<const Kernels*> SupportedKernels() {
  std::vector<const Kernels*> kernels;
#ifdef KVRECALL_X86_KERNELS
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16"))
    kernels.push_back(&kAvx512Bf16Kernels);
  if (avx512) kernels.push_back(&kAvx512Kernels);
  if (avx2) kernels.push_back(&kAvx2Kernels);
#endif
  kernels.push_back(&kGenericKernels);
  return kernels;
}

const Kernels& BestKernels() {
  static const Kernels& best = []() -> const Kernels& {
    const std::vector<const Kernels*> supported = SupportedKernels();
    const char* wanted = std::getenv("KVRECALL_CPU_KERNELS");
    for (const Kernels* kernels : supported)
      if (wanted != nullptr && std::strcmp(kernels->name, wanted) == 0)
        return *kernels;
    return *supported.front();
  }();
  return best;
}

#if defined(__x86_64__)
FlushTinyNumbers::FlushTinyNumbers() : saved_(_mm_getcsr()) {
  constexpr unsigned kFlushResults = 0x8000, kZeroOperands = 0x40;
  _mm_setcsr(static_cast<unsigned>(saved_) | kFlushResults | kZeroOperands);
}
FlushTinyNumbers::~FlushTinyNumbers() {
  _mm_setcsr(static_cast<unsigned>(saved_));
}
#elif defined(__aarch64__)
FlushTinyNumbers::FlushTinyNumbers() : saved_(__builtin_aarch64_get_fpcr64()) {
  __builtin_aarch64_set_fpcr64(saved_ | (uint64_t{1} << 24));
}
FlushTinyNumbers::~FlushTinyNumbers() { __builtin_aarch64_set_fpcr64(saved_); }
#else
#error "Flushing tiny numbers is not written for this processor."
#endif

}  // namespace kvrecall::cpu
