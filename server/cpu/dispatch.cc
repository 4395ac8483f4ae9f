#include <cstdlib>
#include <cstring>

#include "server/cpu/tables.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace kvrecall::cpu {

namespace {

struct Tables {
  const Kernels* kernels;
  const RowKernels* row_kernels;
};

// The fastest first.
std::vector<Tables> SupportedTables() {
  std::vector<Tables> tables;
#ifdef KVRECALL_X86_KERNELS
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16"))
    tables.push_back({&kAvx512Bf16Kernels, &kAvx512Bf16RowKernels});
  if (avx512) tables.push_back({&kAvx512Kernels, &kAvx512RowKernels});
  if (avx2) tables.push_back({&kAvx2Kernels, &kAvx2RowKernels});
#endif
  tables.push_back({&kGenericKernels, &kGenericRowKernels});
  return tables;
}

const Tables& BestTables() {
  static const Tables best = [] {
    const std::vector<Tables> supported = SupportedTables();
    const char* wanted = WantedKernels();
    for (const Tables& tables : supported)
      if (wanted != nullptr && std::strcmp(tables.kernels->name, wanted) == 0)
        return tables;
    return supported.front();
  }();
  return best;
}

}  // namespace

const char* WantedKernels() {
  const char* wanted = std::getenv("KVRECALL_CPU_KERNELS");
  return wanted == nullptr || *wanted == '\0' ? nullptr : wanted;
}

std::vector<const Kernels*> SupportedKernels() {
  std::vector<const Kernels*> kernels;
  for (const Tables& tables : SupportedTables())
    kernels.push_back(tables.kernels);
  return kernels;
}

std::vector<const RowKernels*> SupportedRowKernels() {
  std::vector<const RowKernels*> kernels;
  for (const Tables& tables : SupportedTables())
    kernels.push_back(tables.row_kernels);
  return kernels;
}

const Kernels& BestKernels() { return *BestTables().kernels; }
const RowKernels& BestRowKernels() { return *BestTables().row_kernels; }

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
