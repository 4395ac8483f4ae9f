#include "server/engine/cpu/kernels_impl.h"
#include "server/engine/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kGenericKernels = KVRECALL_CPU_KERNELS("generic");

}  // namespace kvrecall::cpu
