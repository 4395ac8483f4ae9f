#include "server/cpu/kernels_impl.h"
#include "server/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kGenericKernels = KVRECALL_CPU_KERNELS("generic");

}  // namespace kvrecall::cpu
