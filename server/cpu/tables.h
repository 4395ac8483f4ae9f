#pragma once

// One table of kernels for each instruction set that this build has.

#include "server/cpu/kernels.h"
#include "server/cpu/row_kernels.h"

namespace kvrecall::cpu {

#ifdef KVRECALL_X86_KERNELS
extern const Kernels kAvx512Bf16Kernels;
extern const RowKernels kAvx512Bf16RowKernels;
extern const Kernels kAvx512Kernels;
extern const RowKernels kAvx512RowKernels;
extern const Kernels kAvx2Kernels;
extern const RowKernels kAvx2RowKernels;
#endif
extern const Kernels kGenericKernels;
extern const RowKernels kGenericRowKernels;

}  // namespace kvrecall::cpu
