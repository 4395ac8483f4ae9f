#include "server/engine/cpu/kernels_impl.h"
#include "server/engine/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kAvx512Kernels = KVRECALL_CPU_KERNELS("avx512");

}  // namespace kvrecall::cpu
