#pragma once

// One table of kernels for each instruction set that this build has.

#include "server/cpu/kernels.h"

namespace kvrecall::cpu {

#ifdef KVRECALL_X86_KERNELS
extern const Kernels kAvx512Bf16Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
#endif
extern const Kernels kGenericKernels;

}  // namespace kvrecall::cpu
