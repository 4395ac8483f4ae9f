#include "server/cpu/kernels_impl.h"
#include "server/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kAvx2Kernels = KVRECALL_CPU_KERNELS("avx2");

}  // namespace kvrecall::cpu
