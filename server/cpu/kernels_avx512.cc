#include "server/cpu/kernels_impl.h"
#include "server/cpu/row_kernels_impl.h"
#include "server/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kAvx512Kernels = KVRECALL_CPU_KERNELS("avx512");
const RowKernels kAvx512RowKernels = KVRECALL_CPU_ROW_KERNELS;

}  // namespace kvrecall::cpu
