#include "server/cpu/kernels_impl.h"
#include "server/cpu/row_kernels_impl.h"
#include "server/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kAvx512Bf16Kernels = KVRECALL_CPU_KERNELS("avx512_bf16");
const RowKernels kAvx512Bf16RowKernels = KVRECALL_CPU_ROW_KERNELS;

}  // namespace kvrecall::cpu
