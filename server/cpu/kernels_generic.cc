#include "server/cpu/kernels_impl.h"
#include "server/cpu/row_kernels_impl.h"
#include "server/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kGenericKernels = KVRECALL_CPU_KERNELS("generic");
const RowKernels kGenericRowKernels = KVRECALL_CPU_ROW_KERNELS;

}  // namespace kvrecall::cpu
