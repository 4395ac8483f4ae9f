#include "server/engine/cpu/kernels_impl.h"
#include "server/engine/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kAvx2Kernels = KVRECALL_CPU_KERNELS("avx2");

}  // namespace kvrecall::cpu
