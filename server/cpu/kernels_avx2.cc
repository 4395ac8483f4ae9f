#include "server/cpu/kernels_impl.h"
#include "server/cpu/row_kernels_impl.h"
#include "server/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kAvx2Kernels = KVRECALL_CPU_KERNELS("avx2");
const RowKernels kAvx2RowKernels = KVRECALL_CPU_ROW_KERNELS;

}  // namespace kvrecall::cpu
